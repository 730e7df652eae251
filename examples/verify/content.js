/** Texts that stand for bytes: peer ids, signatures, CIDs, and names that are not UTF-8. */
import { base32nopad, base58, base64urlnopad } from '@scure/base'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'

const ED25519_PEER = hexToBytes('002408011220')

/** The Ed25519 key in a peer id. */
export function publicKeyOf (peer) {
  const bytes = base58.decode(peer)
  if (bytes.length !== 38 || !bytesToHex(bytes).startsWith(bytesToHex(ED25519_PEER))) throw new Error('the worker has no Ed25519 key')
  return bytes.subarray(6)
}

export function readSignature (text) {
  const signature = base64urlnopad.decode(text)
  if (signature.length !== 64 || base64urlnopad.encode(signature) !== text) throw new Error('the signature is not 64 bytes in base64url')
  return signature
}

/** A name as text; bytes that are not UTF-8 become `\xNN`, as the worker writes them. */
export function nameText (bytes) {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const parts = []
  for (let at = 0; at < bytes.length;) {
    const size = [1, 2, 3, 4].find((size) => isText(strict, bytes.subarray(at, at + size)))
    parts.push(size ? strict.decode(bytes.subarray(at, at + size)) : `\\x${bytesToHex(bytes.subarray(at, at + 1))}`)
    at += size ?? 1
  }
  return parts.join('')
}

function isText (strict, bytes) {
  try {
    return [...strict.decode(bytes)].length === 1
  } catch {
    return false
  }
}

const LINK = /^(?:https?:\/\/[^/?#]+\/ipfs\/|https?:\/\/(?=[^./?#]+\.ipfs\.)|ipfs:\/\/(?:ipfs\/)?|\/ipfs\/)?([A-Za-z0-9_=-]+)(?:[./?#].*)?$/is

/** The CID that a NameOp's value names, as CIDv1 in base32; undefined if it is none, or is written in a way that this page
 * cannot read (the worker reads more spellings). */
export function namedCid (value) {
  const found = LINK.exec(nameText(value ?? new Uint8Array()).trim())
  return found === null ? undefined : usualCid(found[1])
}

function usualCid (text) {
  try {
    if (text.startsWith('Qm')) return writeCid(concatBytes(hexToBytes('0170'), base58.decode(text)))
    switch (text[0]) {
      case 'b': case 'B': return writeCid(base32nopad.decode(text.slice(1).toUpperCase()))
      case 'z': return writeCid(base58.decode(text.slice(1)))
      case 'f': case 'F': return writeCid(hexToBytes(text.slice(1).toLowerCase()))
      case 'u': return writeCid(base64urlnopad.decode(text.slice(1)))
    }
  } catch { /* it is no CID in that base */ }
  return undefined
}

const writeCid = (bytes) => `b${base32nopad.encode(bytes).toLowerCase()}`
