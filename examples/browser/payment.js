/**
 * The transaction that pays for a pin, as a PSBT for the user's wallet to sign.
 *
 *   output 0   the NameOp  OP_10 <name> <ipfs://cid> OP_2DROP OP_DROP <owner's script>,  1 000 000 swartz
 *   output 1   the fee, to the worker's address
 *   output 2   the change
 *
 * Version 0x7100, network fee (inputs + outputs) x 180 + 102 000. The NameOp is what says which CID is paid for: money
 * that is sent to the worker's address without it names none, so never show that address as the way to pay.
 */
import { hex } from '@scure/base'
import { Address, OutScript, Script, Transaction } from '@scure/btc-signer'
import { concatBytes } from '@scure/btc-signer/utils.js'

export const NETWORKS = {
  doichain: { bech32: 'dc', pubKeyHash: 52, scriptHash: 13, wif: 180 },
  'doichain-test': { bech32: 'td', pubKeyHash: 111, scriptHash: 196, wif: 239 },
  'doichain-regtest': { bech32: 'ncrt', pubKeyHash: 111, scriptHash: 196, wif: 239 }
}
export const NAME_AMOUNT = 1_000_000n
const NAME_TX_VERSION = 0x7100
const LONGEST_NAME = 255
const DUST = 546n
// The library knows the transactions of Bitcoin; a name transaction has a version and an output of its own.
const NAME_TX = { version: NAME_TX_VERSION, allowUnknownVersion: true, allowUnknownOutputs: true }

/** The output script of an address. Throws on what is no address of that network. */
export function scriptOf (address, network) {
  try {
    return OutScript.encode(Address(NETWORKS[network]).decode(address))
  } catch (cause) {
    throw new Error(`${address} is not an address of ${network}`, { cause })
  }
}

/** The script that publishes `ipfs://<cid>` under `name`, in an output that `owner` (a script) can spend. */
export function nameScript (name, cid, owner) {
  const bytes = new TextEncoder().encode(name)
  if (bytes.length === 0 || bytes.length > LONGEST_NAME) throw new Error(`a name has 1 to ${LONGEST_NAME} bytes`)
  const nameOp = Script.encode(['OP_10', bytes, new TextEncoder().encode(`ipfs://${cid}`), '2DROP', 'DROP'])
  return concatBytes(nameOp, owner)
}

/**
 * @param {object} what
 * @param {string} what.network  a key of NETWORKS
 * @param {string} what.cid      what is paid for
 * @param {object} what.offer    {amount, paymentAddress} of the worker's; see `toPay` in pinning.js
 * @param {string} what.name     under which the CID is published
 * @param {string} what.owner    the payer's address: gets the name and the change
 * @param {Array<{txid: string, vout: number, amount: bigint, raw: string}>} what.coins  the payer's own; see coins.js
 * @returns {{psbt: Uint8Array, fee: bigint, nameAmount: bigint, networkFee: bigint, change: bigint, total: bigint}}
 *   amounts in swartz; `total` is what leaves the wallet for good, with the name's own output counted as spent
 */
export function buildPayment ({ network, cid, offer, name, owner, coins }) {
  const ownScript = scriptOf(owner, network)
  const fee = BigInt(offer.amount)
  const tx = new Transaction(NAME_TX)
  let paid = 0n
  for (const coin of coins) {
    tx.addInput({ txid: coin.txid, index: coin.vout, ...proof(coin, ownScript) })
    paid += coin.amount
    const networkFee = BigInt((tx.inputsLength + 3) * 180 + 102_000)
    const change = paid - NAME_AMOUNT - fee - networkFee
    if (change < DUST) continue
    tx.addOutput({ script: nameScript(name, cid, ownScript), amount: NAME_AMOUNT })
    tx.addOutput({ script: scriptOf(offer.paymentAddress, network), amount: fee })
    tx.addOutput({ script: ownScript, amount: change })
    return { psbt: tx.toPSBT(0), fee, nameAmount: NAME_AMOUNT, networkFee, change, total: NAME_AMOUNT + fee + networkFee }
  }
  throw new Error(`the wallet has ${paid} swartz that can be spent now, and ${NAME_AMOUNT + fee} plus the network fee are needed`)
}

/** What a wallet needs to see what it signs: the coin's whole transaction, and for segwit the output itself. */
function proof ({ raw, amount }, script) {
  const whole = { nonWitnessUtxo: hex.decode(raw) }
  return OutScript.decode(script).type.startsWith('w') ? { ...whole, witnessUtxo: { script, amount } } : whole
}
