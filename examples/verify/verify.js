/**
 * What a signed receipt proves, what it only claims, and why it is refused: `pinning_worker/domain/receipt_check.py` in
 * JavaScript. docs/receipts.md is the format. Nothing here asks anybody: the block is compared with what the payer brings.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { decode, encode } from './cbor.js'
import { foldBranch, readHeader, readTransaction } from './chain.js'
import { namedCid, nameText, publicKeyOf, readSignature } from './content.js'

const TYPE = 'pinning-receipt/1'
const number = (value) => Number.isSafeInteger(value) && value >= 0
const text = (value) => typeof value === 'string' && value.isWellFormed()
const hex = (size) => (value) => text(value) && /^([0-9a-f]{2})*$/.test(value) && (size === undefined || value.length === 2 * size)
const date = (value) => text(value) && !Number.isNaN(Date.parse(value)) && new Date(value).toISOString() === value
const listOf = (is) => (value) => Array.isArray(value) && value.every(is)
const FIELDS = {
  type: (value) => value === TYPE, cid: (value) => text(value) && /^b[a-z2-7]+$/.test(value), bytes: number, blocks: number,
  nameId: text, months: number, starts: date, ends: date, amount: number, network: text, txid: hex(32), vouts: listOf(number),
  transaction: hex(), height: number, blockHash: hex(32), header: hex(80), position: number, branch: listOf(hex(32)),
  quote: text, tariff: number, tariffHash: text, worker: text, signature: text
}
const CLAIMED = [
  "that these outputs are the worker's own",
  'that the payment bought these months, by that tariff and quote',
  'that the content has so many bytes and blocks, and that the worker keeps it for the term'
]

/** The fields of a receipt: JSON, or the block of dag-cbor in its only encoding. Throws on anything else. */
export function readReceipt (data) {
  const isJson = new TextDecoder().decode(data.subarray(0, 100)).trimStart().startsWith('{')
  const fields = isJson ? JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)) : decode(data)
  if (fields === null || typeof fields !== 'object') throw new Error('a receipt is a map of fields')
  const odd = Object.keys({ ...FIELDS, ...fields }).filter((name) => !(Object.hasOwn(FIELDS, name) && Object.hasOwn(fields, name) && FIELDS[name](fields[name])))
  if (odd.length > 0) throw new Error(`fields that lack, or are not as they should be: ${odd.join(', ')}`)
  if (!isJson && bytesToHex(encode(fields)) !== bytesToHex(data)) throw new Error('not in the canonical encoding')
  return fields
}

/** `brought`: {hashes, headers} in hex that the payer trusts, and {file} of a worker's headers, 80 bytes each. */
export function checkReceipt (receipt, brought) {
  const found = { isInChain: false, proven: [], claimed: [], refused: [] }
  const header = readHeader(hexToBytes(receipt.header))
  checkSignature(receipt, found)
  const transaction = checkTransaction(receipt, found)
  if (header.hash !== receipt.blockHash) found.refused.push('the header is not that of the block')
  if (!isInBlock(receipt, header)) found.refused.push("the merkle branch does not lead to the block's header")
  if (!isPossibleTerm(receipt, header)) found.refused.push('the term is not one that this payment can have bought')
  if (transaction !== null) checkName(receipt, transaction, found)
  checkBlock(receipt, brought, found)
  found.claimed.push(...CLAIMED)
  return found.refused.length > 0 ? { ...found, proven: [], claimed: [] } : found
}

function checkSignature (receipt, found) {
  const { signature, ...signed } = receipt
  try {
    if (!ed25519.verify(readSignature(signature), encode(signed), publicKeyOf(receipt.worker), { zip215: false })) throw new Error('the signature is not that of the worker for this content')
    found.proven.push(`the peer ${receipt.worker} signed this receipt, as it is`)
  } catch (error) {
    found.refused.push(error.message)
  }
}

function checkTransaction (receipt, found) {
  const raw = hexToBytes(receipt.transaction)
  try {
    const transaction = readTransaction(raw)
    if (transaction.txid !== receipt.txid) throw new Error('the transaction is not the one with that txid')
    if (raw.length === 64) throw new Error('64 bytes may be an inner node of a merkle tree, and prove no transaction')
    if (paid(receipt.vouts, transaction.outputs) !== receipt.amount) throw new Error('the outputs do not bring that amount')
    found.proven.push(`the transaction ${receipt.txid} is in the block ${receipt.blockHash}`)
    found.proven.push(`it pays ${receipt.amount} swartz by its outputs ${receipt.vouts.join(', ')}`)
    return transaction
  } catch (error) {
    found.refused.push(error.message)
    return null
  }
}

function paid (vouts, outputs) {
  const isOrdered = vouts.every((vout, index) => vout < outputs.length && (index === 0 || vouts[index - 1] < vout))
  return vouts.length > 0 && isOrdered ? vouts.reduce((sum, vout) => sum + outputs[vout].amount, 0) : null
}

function isInBlock ({ txid, branch, position }, header) {
  try {
    return bytesToHex(foldBranch(txid, branch, position)) === bytesToHex(header.merkleRoot)
  } catch {
    return false
  }
}

function isPossibleTerm ({ starts, ends, months }, header) {
  const [from, until, paidAt] = [Date.parse(starts), Date.parse(ends), header.time * 1000]
  return months > 0 && addMonths(from, months) <= until && from <= paidAt && paidAt < until
}

/** The same day and time so many calendar months later, in UTC; the last day of a month that is too short. */
function addMonths (moment, months) {
  const start = new Date(moment)
  const lastDay = new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + months + 1, 0)).getUTCDate()
  const later = new Date(moment)
  later.setUTCMonth(start.getUTCMonth() + months, Math.min(start.getUTCDate(), lastDay))
  return later.getTime()
}

function checkName (receipt, { nameOp }, found) {
  if (nameOp === null) return found.claimed.push('that the payment was meant for this CID and name: its transaction names neither')
  if (namedCid(nameOp.value) === undefined && nameText(nameOp.name) !== receipt.nameId) {
    return found.claimed.push('that the payment was meant for this CID and name: its transaction has another name, and no CID that this page can read')
  }
  const cid = namedCid(nameOp.value)
  if (nameText(nameOp.name) !== receipt.nameId) found.refused.push('the transaction has another name')
  if (cid === undefined) return found.claimed.push(`that the transaction names this CID: it says ${JSON.stringify(nameText(nameOp.value))}, which this page cannot read`)
  if (cid !== receipt.cid) found.refused.push('the transaction names another CID')
  return found.proven.push(`it names the CID ${receipt.cid} under the name ${receipt.nameId}`)
}

function checkBlock ({ header, blockHash, height }, { hashes, headers, file }, found) {
  const isNamed = hashes.includes(blockHash) || headers.includes(header)
  const isListed = file !== null && isAmong(hexToBytes(header), file)
  found.isInChain = isNamed || isListed
  if (isNamed) found.proven.push('that block is the one that you gave')
  else if (hashes.length + headers.length > 0) found.refused.push('its block is not the one that you gave')
  else if (isListed) found.proven.push('that block is in the headers that you gave')
  else found.claimed.push(`that the block is in the chain, at height ${height}: compare its hash ${blockHash} with a source that you trust`)
}

/** Whether a file of headers, 80 bytes each, has this one. */
function isAmong (header, file) {
  for (let at = 0; at + 80 <= file.length; at += 80) {
    if (header.every((byte, index) => file[at + index] === byte)) return true
  }
  return false
}

/** The block hashes and headers in a text that somebody pasted. Throws on anything else in it. */
export function readBrought (pasted) {
  const words = pasted.toLowerCase().split(/\s+/).filter((word) => word !== '')
  const odd = words.find((word) => !/^[0-9a-f]+$/.test(word) || ![64, 160].includes(word.length))
  if (odd !== undefined) throw new Error(`neither a block hash (64 digits) nor a header (160 digits): ${odd.slice(0, 20)}`)
  return { hashes: words.filter((word) => word.length === 64), headers: words.filter((word) => word.length === 160) }
}
