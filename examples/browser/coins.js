/**
 * The coins of an address, asked from an Electrum server over WebSocket. The server is not trusted with money: each
 * coin comes with the transaction that made it, and the hash of that is its txid.
 */
import { hex } from '@scure/base'
import { Transaction } from '@scure/btc-signer'
import { equalBytes } from '@scure/btc-signer/utils.js'
import { scriptOf } from './payment.js'

const MOST_COINS = 20
const COINBASE_MATURITY = 100
const ANSWER_MS = 10_000
const NO_TXID = '00'.repeat(32)

/** The largest coins that can be spent now, as `buildPayment` takes them. */
export async function coinsOf (address, network, electrumUrl) {
  const script = scriptOf(address, network)
  const electrum = await openElectrum(electrumUrl)
  try {
    const [{ height: tip }, unspent] = await Promise.all([
      electrum.ask('blockchain.headers.subscribe'),
      electrum.ask('blockchain.scripthash.listunspent', await scripthash(script))
    ])
    const largest = unspent.sort((a, b) => b.value - a.value || a.height - b.height).slice(0, MOST_COINS)
    const coins = await Promise.all(largest.map(async (coin) => {
      const raw = await electrum.ask('blockchain.transaction.get', coin.tx_hash)
      return checked(coin, raw, script, tip)
    }))
    return coins.filter((coin) => coin != null)
  } finally {
    electrum.close()
  }
}

/** The coin, or undefined if it cannot be spent as money now: a name of the owner's, or a reward too young. */
function checked ({ tx_hash: txid, tx_pos: vout, height }, raw, script, tip) {
  const tx = Transaction.fromRaw(hex.decode(raw), { allowUnknownVersion: true, allowUnknownOutputs: true, allowUnknownInputs: true, disableScriptCheck: true })
  if (tx.id !== txid) throw new Error('the Electrum server sent another transaction than it was asked for')
  const output = tx.getOutput(vout)
  const isYoung = hex.encode(tx.getInput(0).txid) === NO_TXID && tip + 1 - height < COINBASE_MATURITY
  if (isYoung || !equalBytes(output.script, script)) return undefined
  return { txid, vout, amount: output.amount, raw }
}

/** By what an Electrum server knows a script: its sha256, reversed. */
async function scripthash (script) {
  return hex.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', script)).reverse())
}

async function openElectrum (url) {
  const socket = new WebSocket(url)
  const waiting = new Map()
  let asked = 0
  const fail = () => waiting.forEach(({ reject }) => reject(new Error('the Electrum server closed the connection')))
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error('the Electrum server cannot be reached'))
  })
  socket.onclose = fail
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data)
    if (error) waiting.get(id)?.reject(new Error(`the Electrum server: ${error.message}`))
    else waiting.get(id)?.resolve(result)
  }
  const ask = (method, ...params) => new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject })
    setTimeout(() => reject(new Error('the Electrum server does not answer')), ANSWER_MS)
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: asked, method, params }))
  })
  await ask('server.version', 'pinning-example', ['1.4', '1.4.3'])
  return { ask, close: () => socket.close() }
}
