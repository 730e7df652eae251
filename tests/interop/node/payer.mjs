/**
 * The page's part when somebody presses "Make the payment", without a browser. `tests/interop/payer.py` holds the
 * other end.
 *
 *   stdin    {"electrum": "ws://…", "network": …, "name": …, "address": …, "cid": …, "offer": {…}}
 *   stdout   {"psbt": hex, "txid": …, "fee": "7004482", …}  or  {"refused": "what the page shows"}
 */
import { text } from 'node:stream/consumers'
import { coinsOf } from '../../../examples/browser/coins.js'
import { withElectrum } from '../../../examples/browser/electrum.js'
import { nameToSpend } from '../../../examples/browser/names.js'
import { buildPayment } from '../../../examples/browser/payment.js'

async function pay ({ electrum: url, network, name, address, cid, offer }) {
  return withElectrum(url, async (electrum) => {
    const named = await nameToSpend(electrum, name, address, network)
    const coins = await coinsOf(electrum, address, network)
    return buildPayment({ network, cid, offer, name, owner: address, coins, named })
  })
}

const wanted = JSON.parse(await text(process.stdin))
try {
  const { psbt, ...amounts } = await pay(wanted)
  const told = Object.entries(amounts).map(([what, amount]) => [what, String(amount)])
  process.stdout.write(JSON.stringify({ psbt: Buffer.from(psbt).toString('hex'), ...Object.fromEntries(told) }))
} catch (error) {
  process.stdout.write(JSON.stringify({ refused: error.message }))
}
process.exit() // the page's timers would keep this waiting
