/**
 * The page: choose something, ask the worker for a price, pay, follow. The parts to copy are `helia.js`, `pinning.js`,
 * `payment.js`, `names.js`, `coins.js`, `electrum.js`, `qr.js`; what the user sees is in `view.js`, `price.js`,
 * `list.js`, and what outlives a reload in `remember.js` and `files.js`. `story.js` ties them together.
 *
 * What it works with stands in the address:
 *   ?worker=<multiaddr with /p2p/…>   once for each address of the one worker
 *   &network=doichain                 or doichain-test, doichain-regtest
 *   &electrum=wss://host:port         where the name and the wallet's coins are looked up
 *   &listen=<relay>/p2p-circuit       a relay through which this page is reachable (optional)
 *   &address=…  &sandbox              the sandbox: whose coins, and its buttons
 *   #<cid>                            a CID to follow at once (the page puts it there)
 */
import { add } from './add.js'
import { coinsOf } from './coins.js'
import { connect } from './connect.js'
import { withElectrum } from './electrum.js'
import { putAway, throwAway } from './files.js'
import { offerChoice } from './form.js'
import { showAsked } from './list.js'
import { nameToSpend } from './names.js'
import { buildPayment } from './payment.js'
import { toPay } from './pinning.js'
import { showPayment } from './price.js'
import { everythingAsked, recall, remember, rememberMade } from './remember.js'
import { offerSandbox } from './sandbox.js'
import { chooseMonths, followCid, forgetOne, inThisPage, now, show, showMade, standing } from './story.js'
import { onSubmit, showPin, showWire } from './view.js'
import { daysLeft } from './words.js'

const $ = (id) => document.getElementById(id)
const settings = new URLSearchParams(location.search)
const network = settings.get('network') ?? 'doichain'

/** Adds it, puts it away for a reload, and asks. */
async function ask ({ kind, label, entries, ...words }) {
  if (now.helia == null) throw new Error('There is no worker to ask yet.')
  const { cid, size } = await add(now.helia, { kind, entries, ...words })
  const file = label ?? entries.map(({ path }) => path).slice(0, 3).join(', ')
  const entry = { kind, file, size, label: words.title || file, title: words.title, description: words.description }
  remember(cid, entry).forEach((dropped) => throwAway(dropped.cid))
  inThisPage.add(cid)
  await putAway(cid, entries)
  followCid(cid)
  $('pin').scrollIntoView({ behavior: 'smooth' })
}

/** What was lost is chosen again: it must be the same, for the CID is what was asked for. */
async function chooseAgain (chosen) {
  if (chosen == null) return
  const { cid } = now
  const { kind, title, description, file } = recall(cid)
  const given = await add(now.helia, { ...chosen, kind, title, description })
  if (given.cid !== cid) throw new Error(`${chosen.label ?? 'This'} is not what was asked for (${file}): its content is another.`)
  inThisPage.add(cid)
  await putAway(cid, chosen.entries)
  followCid(cid)
}

async function pay ({ name, address }) {
  const { cid, pin } = now
  remember(cid, { made: undefined, sent: undefined })
  showPin(pin, recall(cid))
  showMade({})
  const payment = await withElectrum(settings.get('electrum'), async (electrum) => {
    const named = await nameToSpend(electrum, name, address, network)
    const coins = await coinsOf(electrum, address, network)
    return buildPayment({ network, cid, offer: toPay(pin), name, owner: address, coins, named })
  })
  if (cid !== now.cid) return
  now.payment = payment
  rememberMade(cid, { ...payment, name, after: standing(pin) })
  showPin(now.pin, recall(cid))
  showPayment(payment, name)
  $('payment').scrollIntoView({ behavior: 'smooth', block: 'nearest' })
}

function followHash () {
  const asked = location.hash.slice(1)
  if (now.helia == null || asked === '' || asked === now.cid) return
  followCid(asked)
  $('pin').scrollIntoView()
}

showWire()
showAsked(everythingAsked(), undefined, forgetOne)
offerChoice({ onAsk: ask, onChosenAgain: chooseAgain })
onSubmit('payment-form', pay)
$('again').addEventListener('click', () => followCid(now.cid))
$('months').addEventListener('change', () => chooseMonths(Number($('months').value)))
$('anew').addEventListener('click', () => {
  remember(now.cid, { made: undefined, sent: undefined })
  show(now.pin)
})
$('address').value = settings.get('address') ?? ''
if (settings.has('sandbox')) {
  const current = () => ({ psbt: now.payment?.psbt, depth: 6, daysLeft: daysLeft(now.pin), isEnding: now.pin.step === 'expiring' })
  offerSandbox(current, (txid) => {
    if (recall(now.cid)?.made == null) return // the worker was faster
    remember(now.cid, { sent: { txid } })
    show(now.pin)
  })
}
addEventListener('hashchange', followHash)
connect(settings, (found) => {
  Object.assign(now, found)
  followHash()
})
