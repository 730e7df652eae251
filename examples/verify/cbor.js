/**
 * Canonical dag-cbor, as far as receipts have it: text, whole numbers, lists and maps. Map keys go by length, then by
 * bytes; numbers are as short as they can be. `decode` reads nothing else, and `encode` gives back what it has read only
 * if that was canonical: so compare.
 */
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true })

export function encode (value) {
  const parts = []
  write(value, parts)
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

function write (value, parts) {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`not a whole number: ${value}`)
    parts.push(head(0, value))
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new Error('a text is not Unicode')
    const bytes = utf8.encode(value)
    parts.push(head(3, bytes.length), bytes)
  } else if (Array.isArray(value)) {
    parts.push(head(4, value.length))
    for (const each of value) write(each, parts)
  } else if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).map(([key, each]) => [key, utf8.encode(key), each]).sort(byKey)
    parts.push(head(5, entries.length))
    for (const [key, , each] of entries) {
      write(key, parts)
      write(each, parts)
    }
  } else {
    throw new Error(`neither text, number, list nor map: ${value}`)
  }
}

function byKey ([, a], [, b]) {
  if (a.length !== b.length) return a.length - b.length
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at < 0 ? 0 : a[at] - b[at]
}

function head (major, number) {
  if (number < 24) return [major << 5 | number]
  for (const [code, size] of [[24, 1], [25, 2], [26, 4], [27, 8]]) {
    if (number < 2 ** (8 * size)) {
      const bytes = Array.from({ length: size }, (_, index) => Math.floor(number / 2 ** (8 * (size - 1 - index))) % 256)
      return [major << 5 | code, ...bytes]
    }
  }
}

export function decode (data) {
  const [value, end] = read(data, 0, 0)
  if (end !== data.length) throw new Error('bytes behind the end')
  return value
}

function read (data, at, depth) {
  if (depth > 4) throw new Error('too deep')
  const major = data[at] >> 5
  let [number, next] = readNumber(data, at)
  if (major === 0) return [number, next]
  if (major === 3) {
    if (next + number > data.length) throw new Error('cut off')
    return [text.decode(data.subarray(next, next + number)), next + number]
  }
  if (major !== 4 && major !== 5) throw new Error('something that no receipt holds')
  if (number > data.length) throw new Error('cut off')
  const found = major === 4 ? [] : Object.create(null)
  for (let index = 0; index < number; index++) {
    let key, value
    if (major === 5) [key, next] = read(data, next, depth + 1);
    [value, next] = read(data, next, depth + 1)
    if (major === 4) found.push(value)
    else if (typeof key === 'string') found[key] = value
    else throw new Error('a key that is no text')
  }
  return [found, next]
}

function readNumber (data, at) {
  const code = data[at] & 31
  const size = code < 24 ? 0 : { 24: 1, 25: 2, 26: 4, 27: 8 }[code]
  if (size === undefined || !(at + size < data.length)) throw new Error('cut off, or of no definite length')
  const number = size === 0 ? code : data.subarray(at + 1, at + 1 + size).reduce((sum, byte) => sum * 256 + byte, 0)
  if (!Number.isSafeInteger(number)) throw new Error('a number that is too large')
  return [number, at + 1 + size]
}
