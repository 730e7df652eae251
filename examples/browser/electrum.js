/**
 * A conversation with an Electrum server over WebSocket. The server is not trusted with money: `transaction` takes
 * nothing whose hash is not the txid asked for. The server can still leave things out, and lie about blocks.
 */
import { hex } from '@scure/base'
import { Transaction } from '@scure/btc-signer'

const ANSWER_MS = 10_000
// The library knows the transactions of Bitcoin; others are read here as well as they can be.
const ANY_TX = { allowUnknownVersion: true, allowUnknownOutputs: true, allowUnknownInputs: true, disableScriptCheck: true }

/** What `act` makes of an open conversation, which ends with it. */
export async function withElectrum (url, act) {
  const electrum = await open(url)
  try {
    return await act(electrum)
  } finally {
    electrum.close()
  }
}

/** {raw, tx} of a transaction, which is the one that was asked for. */
export async function transaction (electrum, txid) {
  const raw = await electrum.ask('blockchain.transaction.get', txid)
  const tx = Transaction.fromRaw(hex.decode(raw), ANY_TX)
  if (tx.id !== txid) throw new Error('the Electrum server sent another transaction than it was asked for')
  return { raw, tx }
}

/** Whether the server answered that there is no such thing (ElectrumX's BAD_REQUEST); not that it is busy, or nothing. */
export const isRefusal = (error) => error.cause?.code === 1

/** The height of the newest block. */
export async function tipHeight (electrum) {
  return (await electrum.ask('blockchain.headers.subscribe')).height
}

/** By what an Electrum server knows a script: its sha256, reversed. */
export async function scripthash (script) {
  return hex.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', script)).reverse())
}

async function open (url) {
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
    if (error) waiting.get(id)?.reject(new Error(`the Electrum server: ${error.message}`, { cause: error }))
    else waiting.get(id)?.resolve(result)
  }
  const ask = (method, ...params) => new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject })
    setTimeout(() => reject(new Error('the Electrum server does not answer')), ANSWER_MS)
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: asked, method, params }))
  })
  try {
    await ask('server.version', 'pinning-example', ['1.4', '1.4.3'])
  } catch (error) {
    socket.close()
    throw error
  }
  return { ask, close: () => socket.close() }
}
