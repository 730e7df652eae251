/** Bytes of the chain: hashes, the merkle branch, transactions and the NameOp in one. Hashes as text are in display order. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'

const NAME_VERSION = 0x7100
const ARGUMENTS = { 0x52: [3, 0, 2], 0x53: [2, 0, 1], 0x5a: [2, 0, 1] } // how many, and where name and value stand

export const doubleHash = (data) => sha256(sha256(data))
export const shown = (hash) => bytesToHex(Uint8Array.from(hash).reverse())
const internal = (hex) => hexToBytes(hex).reverse()

/** The root that a transaction and its siblings lead to. */
export function foldBranch (txid, branch, position) {
  if (branch.length > 32 || position >= 2 ** branch.length) throw new Error('the position is outside the tree')
  let node = internal(txid)
  for (const [level, sibling] of branch.entries()) {
    const isRight = Math.floor(position / 2 ** level) % 2 === 1
    node = doubleHash(isRight ? concatBytes(internal(sibling), node) : concatBytes(node, internal(sibling)))
  }
  return node
}

export function readHeader (raw) {
  const view = new DataView(raw.buffer, raw.byteOffset)
  return { hash: shown(doubleHash(raw)), merkleRoot: raw.subarray(36, 68), time: view.getUint32(68, true) }
}

/** A transaction without its witness: the bytes that the txid is the hash of. Throws on anything else. */
export function readTransaction (raw) {
  const reader = new Reader(raw)
  const version = reader.number(4)
  const inputs = reader.count()
  if (inputs === 0) throw new Error('no inputs')
  for (let index = 0; index < inputs; index++) {
    reader.take(36)
    reader.take(reader.count())
    reader.take(4)
  }
  const outputs = Array.from({ length: reader.count() }, () => ({ amount: reader.number(8), script: reader.take(reader.count()) }))
  reader.take(4)
  if (reader.at !== raw.length) throw new Error('bytes behind the end')
  return { txid: shown(doubleHash(raw)), outputs, nameOp: version === NAME_VERSION ? nameOpOf(outputs) : null }
}

function nameOpOf (outputs) {
  const found = outputs.map(({ script }) => readNameOp(script)).filter((each) => each !== null)
  return found.length === 1 ? found[0] : null
}

/** {name, value} of a script that begins with a name operation. NAME_NEW hides both. */
function readNameOp (script) {
  const [count, nameAt, valueAt] = ARGUMENTS[script[0]] ?? []
  if (count === undefined) return null
  try {
    const reader = new Reader(script, 1)
    const pushed = Array.from({ length: count }, () => reader.push())
    let isDropped = false
    while ([0x61, 0x6d, 0x75].includes(script[reader.at])) {
      reader.at++
      isDropped = true
    }
    return isDropped ? { name: pushed[nameAt], value: pushed[valueAt] } : null
  } catch {
    return null
  }
}

class Reader {
  constructor (data, at = 0) {
    Object.assign(this, { data, at })
  }

  take (size) {
    if (this.at + size > this.data.length) throw new Error('cut off')
    this.at += size
    return this.data.subarray(this.at - size, this.at)
  }

  number (size) {
    const number = this.take(size).reduceRight((sum, byte) => sum * 256 + byte, 0)
    if (!Number.isSafeInteger(number)) throw new Error('a number that is too large')
    return number
  }

  count () {
    const first = this.number(1)
    if (first < 0xfd) return first
    const size = { 0xfd: 2, 0xfe: 4, 0xff: 8 }[first]
    const number = this.number(size)
    if (number < { 2: 0xfd, 4: 2 ** 16, 8: 2 ** 32 }[size]) throw new Error('a length that is longer than needed')
    return number
  }

  push () {
    const code = this.number(1)
    if (code <= 75) return this.take(code)
    const size = { 76: 1, 77: 2, 78: 4 }[code]
    if (size === undefined) throw new Error('not a push')
    return this.take(this.number(size))
  }
}
