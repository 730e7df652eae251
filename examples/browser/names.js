/**
 * Whose a name is now, and what a payment under it must spend. Names have owners since block 431 017:
 *
 *   the name lives     the payment spends the name's output: nobody but its owner can sign that
 *   the name is free   (never registered, or expired) the payment spends no name's output
 *
 * A name is free in block h if (height of its last operation + its life) <= h. An Electrum server files operations that
 * are in a block under the script of an empty NAME_UPDATE, and forgets none of those that a reorg took back. So the last
 * one counts that is what it should be, and of which the server can still say where in its block it stands. A server
 * that lies gets a payment made that no node takes, and no money.
 */
import { hex } from '@scure/base'
import { Script } from '@scure/btc-signer'
import { equalBytes } from '@scure/btc-signer/utils.js'
import { isRefusal, scripthash, tipHeight, transaction } from './electrum.js'
import { addressOf, nameBytes, scriptOf } from './payment.js'
import { moment } from './words.js'

const NAME_LIFE = { doichain: 36_000, 'doichain-test': 36_000, 'doichain-regtest': 30 } // in blocks
const BLOCK_MS = 600_000
/** By opcode: how many values follow the name, and how they are dropped. NAME_FIRSTUPDATE, NAME_UPDATE, NAME_DOI. */
const OPERATIONS = { 0x52: [2, '6d6d'], 0x53: [1, '6d75'], 0x5a: [1, '6d75'] }

/**
 * The output that a payment under `name` must spend, as `buildPayment` takes it; nothing if the name is free. Throws if
 * the payer (an address) cannot pay under it now.
 */
export async function nameToSpend (electrum, name, payer, network) {
  const wanted = nameBytes(name)
  const own = scriptOf(payer, network)
  await refuseIfWaiting(electrum, name, wanted, own) // first: what is mined meanwhile is found by what comes next
  const next = await tipHeight(electrum) + 1
  const last = await lastOperation(electrum, wanted, next - NAME_LIFE[network])
  if (last == null) return undefined
  if (equalBytes(last.owner, own)) return last
  const freeFrom = last.height + NAME_LIFE[network]
  const about = moment(Date.now() + (freeFrom - next) * BLOCK_MS)
  throw new Error(`the name ${name} is somebody else's (${addressOf(last.owner, network)}) until block ${freeFrom}, about ${about}, and longer if it is renewed`)
}

/** An operation that waits is in no index; but the payer's own history tells of those that are the payer's. */
async function refuseIfWaiting (electrum, name, wanted, own) {
  const waiting = await electrum.ask('blockchain.scripthash.get_mempool', await scripthash(own))
  const transactions = await Promise.all(waiting.map(({ tx_hash: txid }) => transaction(electrum, txid)))
  if (transactions.some(({ tx }) => nameOutput(tx, wanted) != null)) {
    throw new Error(`a payment under the name ${name} is under way: wait for its block, then pay again`)
  }
}

/** The newest operation above that height: its output as a coin, with `owner` (a script) and `height`. */
async function lastOperation (electrum, wanted, above) {
  const index = Script.encode(['OP_3', wanted, new Uint8Array(), '2DROP', 'DROP', 'RETURN'])
  const filed = await electrum.ask('blockchain.scripthash.get_history', await scripthash(index))
  const heights = [...new Set(filed.map(({ height }) => height))].filter((height) => height > above).sort((a, b) => b - a)
  for (const height of heights) {
    const entries = filed.filter((entry) => entry.height === height)
    const proven = (await Promise.all(entries.map((entry) => operation(electrum, entry, wanted)))).filter((each) => each != null)
    if (proven.length > 0) return proven.sort((a, b) => a.position - b.position).at(-1)
  }
}

/** The output behind an entry of the index, if it is there. After a reorg an entry may stand for quite another transaction. */
async function operation (electrum, { tx_hash: txid, height }, wanted) {
  let place
  try {
    place = await electrum.ask('blockchain.transaction.get_merkle', txid, height)
  } catch (error) {
    if (isRefusal(error)) return undefined // it is not in that block
    throw error
  }
  const { raw, tx } = await transaction(electrum, txid)
  const output = nameOutput(tx, wanted)
  return output && { ...output, txid, raw, height, position: place.pos }
}

/** {vout, amount, script, owner} of the output in which a transaction says something of a name. */
function nameOutput (tx, wanted) {
  for (let vout = 0; vout < tx.outputsLength; vout++) {
    const { amount, script } = tx.getOutput(vout)
    const owner = ownerIn(script, wanted)
    if (owner != null) return { vout, amount, script, owner }
  }
}

/** The script that may spend an output, if it says something of that name. */
function ownerIn (script, wanted) {
  const [values, drops] = OPERATIONS[script[0]] ?? []
  if (values == null) return undefined
  const name = readPush(script, 1)
  if (name == null || !equalBytes(name.data, wanted)) return undefined
  let { end } = name
  for (let left = values; left > 0 && end != null; left--) end = readPush(script, end)?.end
  if (end == null || hex.encode(script.subarray(end, end + 2)) !== drops) return undefined
  return script.subarray(end + 2)
}

/** {data, end} of the push at that place of a script. */
function readPush (script, at) {
  const width = script[at] < 0x4c ? 0 : { 0x4c: 1, 0x4d: 2 }[script[at]]
  if (width == null) return undefined
  const from = at + 1 + width
  const length = [() => script[at], () => script[at + 1], () => script[at + 1] | script[at + 2] << 8][width]()
  return from + length <= script.length ? { data: script.subarray(from, from + length), end: from + length } : undefined
}
