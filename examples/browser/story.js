/**
 * The one CID that is followed at the moment: what the worker says of it is shown, and remembered for a reload. Until the
 * worker has spoken, what it said last time stands.
 */
import { add } from './add.js'
import { filesOf, throwAway } from './files.js'
import { showAsked } from './list.js'
import { follow, isKept, toPay } from './pinning.js'
import { hidePayment, showPayment } from './price.js'
import { everythingAsked, forget, isOwn, recall, remember, rememberPin, restored, unrepeated } from './remember.js'
import { hidePin, showLost, showPin } from './view.js'
import { ends } from './words.js'

/** helia and worker, once the node runs; cid, what is known of it (`pin`), and the payment that was made and not seen. */
export const now = {}
/** CIDs whose blocks are in the page's node. */
export const inThisPage = new Set()
const ASKED_AGAIN = ['joining', 'asking']
const WANTS_BLOCKS = ['asking', 'joining', 'fetching', 'error']
let following = new AbortController()

/** `known`: the pin to go on from. `isAgain`: a fetch that found nothing is not repeated once more. */
export async function followCid (cid, known = unrepeated(recall(cid), String(now.worker)), isAgain = false) {
  following.abort()
  following = new AbortController()
  const { signal } = following
  if (cid !== now.cid) document.getElementById('name').value = ''
  now.cid = cid
  history.replaceState(null, '', `#${cid}`)
  remember(cid, {}).forEach((dropped) => throwAway(dropped.cid))
  showMade({})
  show(known ?? { step: 'joining', names: {} })
  try {
    const isHere = await bringHere(recall(cid)).catch(() => false)
    signal.throwIfAborted()
    const { months, number: since } = recall(cid)
    const origins = now.helia.libp2p.getMultiaddrs().map(String)
    const wishes = { ...months && { durationMonths: months }, ...origins.length > 0 && { origins } }
    for await (const news of follow(now.helia.libp2p, cid, now.worker, { signal, isOwn: (said) => isOwn(cid, said), known, since, ...wishes })) {
      signal.throwIfAborted() // an answer that was read before
      show(news, isHere)
      // It may have looked before the blocks were here (again): once, it need not wait for a minute.
      if (isHere && !isAgain && recall(cid)?.kind != null && isMissed(news)) return followCid(cid, known, true)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Whether the worker can fetch it from here: what was put away is added again. Nothing else was asked for but its CID. */
async function bringHere (entry) {
  if (entry.kind == null || inThisPage.has(entry.cid)) return true
  const entries = await filesOf(entry.cid)
  if (entries == null || (await add(now.helia, { ...entry, entries })).cid !== entry.cid) return false
  inThisPage.add(entry.cid)
  return true
}

/** Shows news, and remembers them. */
export function show (news, isHere = true) {
  const { cid } = now
  const worker = String(now.worker)
  const before = recall(cid)
  if (before == null) return // forgotten
  const stands = ASKED_AGAIN.includes(news.step) && before.worker === worker && before.pin && !WANTS_BLOCKS.includes(before.pin.step)
  const pin = now.pin = stands ? before.pin : news
  if (!stands) {
    rememberPin(cid, worker, news)
    learnMonths(before, news)
    if (before.made && !isStillDue(before, news)) remember(cid, { made: undefined, sent: undefined })
  }
  const entry = recall(cid)
  const isLost = !isHere && WANTS_BLOCKS.includes(pin.step) && (pin.step !== 'error' || isMissed(pin))
  showPin(pin, entry, stands ? entry.heard : undefined)
  showLost(isLost ? entry : undefined)
  showMade(entry)
  if (isKept(pin)) throwAway(cid) // the worker has it
  showAsked(everythingAsked(), cid, forgetOne)
}

const isMissed = ({ step, error }) => step === 'error' && ['NOT_FOUND', 'TIMEOUT'].includes(error.code)

/** The longest that is sold is what a request without a wish is offered; a wish beyond it is cut. */
function learnMonths ({ cid, months }, { offer }) {
  if (offer == null) return
  if (months == null) remember(cid, { most: offer.durationMonths })
  else if (offer.durationMonths < months) remember(cid, { most: offer.durationMonths, months: offer.durationMonths })
}

/** A payment is of no use any more once one was seen, or when the price is another. */
function isStillDue ({ made, sent }, news) {
  const offer = toPay(news)
  const isSamePrice = sent != null || offer == null || BigInt(offer.amount) === BigInt(made.fee)
  return ASKED_AGAIN.includes(news.step) || (made.after === standing(news) && isSamePrice)
}

/** What a payment is made on top of. */
export const standing = ({ payment: p, ...kept }) => [p?.status, p?.txid, ends(kept)].join(' ')

export function showMade ({ made, sent }) {
  if (made == null || sent != null) {
    now.payment = undefined
    hidePayment()
  } else if (now.payment == null && made.psbt != null) {
    now.payment = restored(made)
    showPayment(now.payment, made.name)
  }
}

export function chooseMonths (months) {
  remember(now.cid, { months, made: undefined, sent: undefined })
  followCid(now.cid, { ...now.pin, offer: undefined })
}

export function forgetOne (cid) {
  forget(cid)
  throwAway(cid)
  if (cid === now.cid) {
    following.abort()
    history.replaceState(null, '', location.pathname + location.search)
    now.cid = undefined
    hidePin()
  }
  showAsked(everythingAsked(), now.cid, forgetOne)
}
