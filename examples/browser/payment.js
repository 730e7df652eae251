/**
 * The transaction that pays for a pin, as a PSBT for the user's wallet to sign.
 *
 *   input 0    the name's own output, if the name lives (names.js); then coins
 *   output 0   the NameOp  OP_10 <name> <ipfs://cid> OP_2DROP OP_DROP <owner's script>,  1 000 000 swartz
 *   output 1   the fee, to the worker's address
 *   output 2   the change, unless it is so little that nodes would not pass it on: then the network fee has it
 *
 * Version 0x7100, network fee (inputs + outputs) x 180 + 102 000. The NameOp is what says which CID is paid for: money
 * that is sent to the worker's address without it names none, so never show that address as the way to pay.
 */
import { hex } from '@scure/base'
import { Address, OutScript, Script, Transaction } from '@scure/btc-signer'
import { concatBytes, sha256x2 } from '@scure/btc-signer/utils.js'

export const NETWORKS = {
  doichain: { bech32: 'dc', pubKeyHash: 52, scriptHash: 13, wif: 180 },
  'doichain-test': { bech32: 'td', pubKeyHash: 111, scriptHash: 196, wif: 239 },
  'doichain-regtest': { bech32: 'ncrt', pubKeyHash: 111, scriptHash: 196, wif: 239 }
}
export const NAME_AMOUNT = 1_000_000n
const NAME_TX_VERSION = 0x7100
const LONGEST_NAME = 255
const DUST = 546n
const KINDS = ['pkh', 'sh', 'wpkh', 'wsh']
// The library knows the transactions of Bitcoin; a name transaction has a version and an output of its own.
const NAME_TX = { version: NAME_TX_VERSION, allowUnknownVersion: true, allowUnknownOutputs: true }

/** The output script of an address. Throws on what is no address of that network, and on one that nobody should use. */
export function scriptOf (address, network) {
  let decoded
  try {
    decoded = Address(NETWORKS[network]).decode(address)
  } catch (cause) {
    throw new Error(`${address} is not an address of ${network}`, { cause })
  }
  if (!KINDS.includes(decoded.type)) throw new Error(`${address} is a taproot address: the Doichain has no rules for taproot, so anybody could spend what lies there`)
  return OutScript.encode(decoded)
}

/** The address of an output script, to be shown. */
export function addressOf (script, network) {
  try {
    return Address(NETWORKS[network]).encode(OutScript.decode(script))
  } catch {
    return 'a script without an address'
  }
}

/** A name as it stands in a script. */
export function nameBytes (name) {
  const bytes = new TextEncoder().encode(name)
  if (bytes.length === 0 || bytes.length > LONGEST_NAME) throw new Error(`a name has 1 to ${LONGEST_NAME} bytes`)
  return bytes
}

/** The script that publishes `ipfs://<cid>` under `name`, in an output that `owner` (a script) can spend. */
export function nameScript (name, cid, owner) {
  const nameOp = Script.encode(['OP_10', nameBytes(name), new TextEncoder().encode(`ipfs://${cid}`), '2DROP', 'DROP'])
  return concatBytes(nameOp, owner)
}

/**
 * A coin is {txid, vout, amount: bigint, script: Uint8Array, raw: string}, with `raw` the whole transaction that made it.
 *
 * @param {object} what
 * @param {string} what.network  a key of NETWORKS
 * @param {string} what.cid      what is paid for
 * @param {object} what.offer    {amount, paymentAddress} of the worker's; see `toPay` in pinning.js
 * @param {string} what.name     under which the CID is published
 * @param {string} what.owner    the payer's address: gets the name and the change
 * @param {Array} what.coins     the payer's own; see coins.js
 * @param {object} [what.named]  the name's own output, a coin too, if the name lives; see names.js
 * @returns {{psbt: Uint8Array, txid: string, fee: bigint, nameAmount: bigint, nameBefore: bigint, networkFee: bigint, change: bigint, total: bigint}}
 *   amounts in swartz; `txid` stays so once it is signed, if the owner's address is segwit; `nameBefore` comes back from the name's own output; `total` is what leaves the wallet for good,
 *   with what lies in the name counted as spent
 */
export function buildPayment ({ network, cid, offer, name, owner, coins, named }) {
  const ownScript = scriptOf(owner, network)
  const fee = BigInt(offer.amount)
  const outputs = [
    { script: nameScript(name, cid, ownScript), amount: NAME_AMOUNT },
    { script: scriptOf(offer.paymentAddress, network), amount: fee }
  ]
  const nameBefore = named?.amount ?? 0n
  const spent = []
  for (const coin of [named, ...coins]) {
    if (coin != null) spent.push(coin)
    const split = divide(spent, outputs)
    if (split == null) continue
    const tx = new Transaction(NAME_TX)
    spent.forEach((each) => tx.addInput({ txid: each.txid, index: each.vout, ...proof(each, ownScript) }))
    outputs.forEach((output) => tx.addOutput(output))
    if (split.change > 0n) tx.addOutput({ script: ownScript, amount: split.change })
    const total = sum(outputs) + split.networkFee - nameBefore
    return { psbt: tx.toPSBT(0), txid: txidOf(tx), fee, nameAmount: NAME_AMOUNT, nameBefore, ...split, total }
  }
  const needed = sum(outputs) + networkFee(Math.max(1, spent.length), outputs.length) - nameBefore
  throw new Error(`the wallet has ${sum(coins)} swartz that can be spent now, and ${needed} are needed`)
}

/**
 * What a payment will cost, before the wallet was looked at: one coin is enough for most. The same amounts as
 * `buildPayment` gives. `isNamed`: the name lives and is the payer's, so what lies in it comes back.
 */
export function estimate (offer, isNamed) {
  const [fee, nameBefore, inputs] = [BigInt(offer.amount), isNamed ? NAME_AMOUNT : 0n, isNamed ? 2 : 1]
  const forNetwork = networkFee(inputs, 3)
  return { fee, nameAmount: NAME_AMOUNT, nameBefore, networkFee: forNetwork, total: fee + NAME_AMOUNT - nameBefore + forNetwork }
}

const txidOf = (tx) => hex.encode(sha256x2(tx.unsignedTx).reverse())

/** {networkFee, change} of what the inputs have beyond the outputs; nothing if they do not suffice. */
function divide (inputs, outputs) {
  const left = sum(inputs) - sum(outputs)
  const change = left - networkFee(inputs.length, outputs.length + 1)
  if (change >= DUST) return { networkFee: left - change, change }
  return left >= networkFee(inputs.length, outputs.length) ? { networkFee: left, change: 0n } : undefined
}

const networkFee = (inputs, outputs) => BigInt((inputs + outputs) * 180 + 102_000)
const sum = (coins) => coins.reduce((total, { amount }) => total + amount, 0n)

/** What a wallet needs to see what it signs: the coin's whole transaction, and for segwit the output itself. */
function proof ({ raw, script, amount }, ownScript) {
  const whole = { nonWitnessUtxo: hex.decode(raw) }
  return OutScript.decode(ownScript).type.startsWith('w') ? { ...whole, witnessUtxo: { script, amount } } : whole
}
