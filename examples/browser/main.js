/**
 * The page: choose something, ask the worker for a price, pay, follow. The parts to copy are `helia.js`, `pinning.js`,
 * `payment.js`, `names.js`, `coins.js`, `electrum.js`, `qr.js`; what the user sees is in `view.js` and `list.js`, and
 * what outlives a reload in `remember.js` and `files.js`.
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
import { filesOf, putAway, throwAway } from './files.js'
import { offerChoice } from './form.js'
import { showAsked } from './list.js'
import { nameToSpend } from './names.js'
import { buildPayment } from './payment.js'
import { follow, isKept, toPay } from './pinning.js'
import { hidePayment, showPayment } from './price.js'
import { everythingAsked, forget, recall, remember, rememberPin, restored, storable, unrepeated } from './remember.js'
import { offerSandbox } from './sandbox.js'
import { hidePin, onSubmit, showLost, showPin, showWire } from './view.js'
import { daysLeft, ends } from './words.js'

const $ = (id) => document.getElementById(id)
const settings = new URLSearchParams(location.search)
const network = settings.get('network') ?? 'doichain'
const ASKED_AGAIN = ['joining', 'asking']
const WANTS_BLOCKS = ['asking', 'joining', 'fetching', 'error']
const inThisPage = new Set() // CIDs whose blocks are in the page's node
let helia, worker, cid, pin, payment
let following = new AbortController()

/** Adds it, puts it away for a reload, and asks. */
async function ask ({ kind, label, entries, ...words }) {
  if (helia == null) throw new Error('There is no worker to ask yet.')
  const added = await add(helia, { kind, entries, ...words })
  const file = label ?? entries.map(({ path }) => path).slice(0, 3).join(', ')
  const entry = { kind, file, size: added.size, label: words.title || file, title: words.title, description: words.description }
  remember(added.cid, entry).forEach((dropped) => throwAway(dropped.cid))
  inThisPage.add(added.cid)
  await putAway(added.cid, entries)
  followCid(added.cid)
  $('pin').scrollIntoView({ behavior: 'smooth' })
}

/** What was lost is chosen again: it must be the same, for the CID is what was asked for. */
async function chooseAgain (chosen) {
  const { kind, title, description, file } = recall(cid)
  const given = chosen && await add(helia, { ...chosen, kind, title, description })
  if (given?.cid !== cid) throw new Error(`${chosen?.label ?? 'This'} is not what was asked for (${file}): its content is another.`)
  inThisPage.add(cid)
  await putAway(cid, chosen.entries)
  followCid(cid)
}

/** Whether the worker can fetch it from here: what was put away is added again. Nothing else was asked for but its CID. */
async function isHere (entry) {
  if (entry.kind == null || inThisPage.has(entry.cid)) return true
  const entries = await filesOf(entry.cid)
  if (entries == null || (await add(helia, { ...entry, entries })).cid !== entry.cid) return false
  inThisPage.add(entry.cid)
  return true
}

async function followCid (which, known = unrepeated(recall(which), String(worker)), isAgain = false) {
  following.abort()
  following = new AbortController()
  const { signal } = following
  if (which !== cid) $('name').value = ''
  cid = which
  history.replaceState(null, '', `#${cid}`)
  remember(cid, {}).forEach((dropped) => throwAway(dropped.cid))
  showMade({})
  show(known ?? { step: 'joining', names: {} }, true)
  try {
    const here = await isHere(recall(cid)).catch(() => false)
    signal.throwIfAborted()
    const { months, number: since } = recall(cid)
    const origins = helia.libp2p.getMultiaddrs().map(String)
    const wishes = { ...months && { durationMonths: months }, ...origins.length > 0 && { origins } }
    for await (const news of follow(helia.libp2p, cid, worker, { signal, known, since, ...wishes })) {
      show(news, here)
      // it may have looked before the blocks were here (again): once, it need not wait for a minute
      if (here && !isAgain && recall(cid)?.kind != null && isMissed(news)) return followCid(cid, known, true)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Shows news, and remembers them. Until the worker has spoken, what it said last time stands. */
function show (news, here) {
  const before = recall(cid)
  if (before == null) return // forgotten
  const stands = ASKED_AGAIN.includes(news.step) && before.worker === String(worker) && before.pin && !WANTS_BLOCKS.includes(before.pin.step)
  pin = stands ? before.pin : news
  if (!stands) {
    rememberPin(cid, String(worker), news)
    learnMonths(before, news)
    if (before.made && !isStillDue(before, news)) remember(cid, { made: undefined, sent: undefined })
  }
  const entry = recall(cid)
  showPin(pin, entry, stands ? entry.heard : undefined)
  showLost(here || !WANTS_BLOCKS.includes(pin.step) || (pin.step === 'error' && !isMissed(pin)) ? undefined : entry)
  showMade(entry)
  if (isKept(pin)) throwAway(cid) // the worker has it
  showAsked(everythingAsked(), cid, forgetOne)
}

const isMissed = ({ step, error }) => step === 'error' && ['NOT_FOUND', 'TIMEOUT'].includes(error.code)

/** The longest that is sold is what a request without a wish is offered; a wish beyond it is cut. */
function learnMonths ({ months }, { offer }) {
  if (offer == null) return
  if (months == null) remember(cid, { most: offer.durationMonths })
  else if (offer.durationMonths < months) remember(cid, { most: offer.durationMonths, months: offer.durationMonths })
}

/** A payment is of no use any more once one was seen, or when the price is another. */
function isStillDue ({ made, sent }, news) {
  const offer = toPay(news)
  return ASKED_AGAIN.includes(news.step) || (made.after === standing(news) && (sent != null || offer == null || BigInt(offer.amount) === BigInt(made.fee)))
}

const standing = ({ payment: p, ...kept }) => [p?.status, p?.txid, ends(kept)].join(' ')

function showMade ({ made, sent }) {
  if (made == null || sent != null) {
    payment = undefined
    hidePayment()
  } else if (payment == null && made.psbt != null) {
    payment = restored(made)
    showPayment(payment, made.name)
  }
}

async function pay ({ name, address }) {
  remember(cid, { made: undefined, sent: undefined })
  showMade({})
  payment = await withElectrum(settings.get('electrum'), async (electrum) => {
    const named = await nameToSpend(electrum, name, address, network)
    const coins = await coinsOf(electrum, address, network)
    return buildPayment({ network, cid, offer: toPay(pin), name, owner: address, coins, named })
  })
  remember(cid, { made: storable({ ...payment, name, after: standing(pin) }) })
  showPin(pin, recall(cid))
  showPayment(payment, name)
  $('payment').scrollIntoView({ behavior: 'smooth', block: 'nearest' })
}

function forgetOne (which) {
  forget(which)
  throwAway(which)
  if (which === cid) {
    following.abort()
    history.replaceState(null, '', location.pathname + location.search)
    cid = undefined
    hidePin()
  }
  showAsked(everythingAsked(), cid, forgetOne)
}

function chooseMonths (months) {
  remember(cid, { months, made: undefined, sent: undefined })
  followCid(cid, { ...pin, offer: undefined })
}

function followHash () {
  const asked = location.hash.slice(1)
  if (helia == null || asked === '' || asked === cid) return
  followCid(asked)
  $('pin').scrollIntoView()
}

showWire()
showAsked(everythingAsked(), undefined, forgetOne)
offerChoice({ onAsk: ask, onChosenAgain: chooseAgain })
onSubmit('payment-form', pay)
$('again').addEventListener('click', () => followCid(cid))
$('months').addEventListener('change', () => chooseMonths(Number($('months').value)))
$('anew').addEventListener('click', () => {
  remember(cid, { made: undefined, sent: undefined })
  show(pin, true)
})
$('address').value = settings.get('address') ?? ''
if (settings.has('sandbox')) {
  const current = () => ({ psbt: payment?.psbt, depth: 6, daysLeft: daysLeft(pin), isEnding: pin.step === 'expiring' })
  offerSandbox(current, (txid) => {
    if (recall(cid)?.made == null) return // the worker was faster
    remember(cid, { sent: { txid } })
    show(pin, true)
  })
}
addEventListener('hashchange', followHash)
connect(settings, (found) => {
  ({ helia, worker } = found)
  followHash()
})
