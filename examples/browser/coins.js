/**
 * The coins of an address, asked from an Electrum server. Each comes with the transaction that made it, and the hash of
 * that is its txid (electrum.js): the server can lie about nothing but omission.
 */
import { hex } from '@scure/base'
import { equalBytes } from '@scure/btc-signer/utils.js'
import { scripthash, tipHeight, transaction } from './electrum.js'
import { scriptOf } from './payment.js'

const MOST_COINS = 20
const COINBASE_MATURITY = 100
const NO_TXID = '00'.repeat(32)

/** The largest coins that can be spent now, as `buildPayment` takes them. */
export async function coinsOf (electrum, address, network) {
  const script = scriptOf(address, network)
  const [tip, unspent] = await Promise.all([
    tipHeight(electrum),
    electrum.ask('blockchain.scripthash.listunspent', await scripthash(script))
  ])
  unspent.sort((a, b) => b.value - a.value || a.height - b.height)
  const coins = []
  for (let at = 0; at < unspent.length && coins.length < MOST_COINS; at += MOST_COINS) { // names may stand before the coins
    const looked = await Promise.all(unspent.slice(at, at + MOST_COINS).map((each) => asMoney(electrum, each, script, tip)))
    coins.push(...looked.filter((coin) => coin != null))
  }
  return coins.slice(0, MOST_COINS)
}

/** The coin, or undefined if it cannot be spent as money now: a name of the owner's, or a reward too young. */
async function asMoney (electrum, { tx_hash: txid, tx_pos: vout, height }, script, tip) {
  const { raw, tx } = await transaction(electrum, txid)
  const output = tx.getOutput(vout)
  const isYoung = hex.encode(tx.getInput(0).txid) === NO_TXID && tip + 1 - height < COINBASE_MATURITY
  if (isYoung || !equalBytes(output.script, script)) return undefined
  return { txid, vout, amount: output.amount, script, raw }
}
