/**
 * The protocol of a pinning worker: ask for a CID, and follow what becomes of it (docs/browser.md explains it).
 *
 *   for await (const pin of follow(libp2p, cid, worker, { signal })) show(pin)
 *
 * Four rules make it hold:
 * - Everything on the topic is a broadcast that anybody can send: only what the worker itself signed counts.
 * - Anybody can pay for a CID, a single swartz too, and the worker tells everybody: only a payment of this page's own,
 *   and a pin that it paid for, says anything about what the user waits for. `isOwn` knows them.
 * - A message published before the mesh stands reaches nobody: wait for a mesh peer, and look at `recipients`.
 * - Gossip loses messages. After a silence, or when the worker is back, ask again: a repeated request starts nothing
 *   twice, the worker repeats what stands. So every message may come twice, and `next` must not mind.
 */
export const TOPIC = '/doichain-nfc/1/message/proto'

/** Seconds of silence after which to ask again, by step; in a step that is not here there is nothing to wait for. */
const PATIENCE = { asking: 5, fetching: 15, quoted: 60, paid: 60, short: 60 }
const LONGEST_PATIENCE = 3600 // at the most; also for a price that lapses much later
const MOST_UNREAD = 100
const HOUR_NS = 3_600_000_000_000n

/**
 * What is known about a pin, each time that it changes:
 *   step     joining, asking, fetching, quoted, paid (seen, not deep enough yet), short, pinned, expiring, expired, error
 *   fetched  {blocks, bytes} so far
 *   quote    the newest ADDING-CID: sizes, and the first price
 *   offer    {amount, durationMonths, paymentAddress, quoteId, expires}: the newest price, for the first time or again
 *   payment  the newest PAYMENT-SEEN or PAYMENT-SHORT of our own that still waits
 *   names    {nameId: {expirationDate, remainingDays, renewal, isOwn}}, for each name that pays for it: ours and others'
 *   error    the ERROR message, with `again`: the Date at which we ask again, if that can help
 *   number   of the newest message: to be given as `since` after a reload
 *
 * Ends after an error that asking again does not cure. Throws when `signal` aborts.
 *
 * @param {PeerId} worker whose answers count
 * @param {object} options `signal`; `isOwn`, which tells of a message with {nameId, txid} whether that payment or pin is
 *   ours (none is, unless it says so); `known`, a pin to go on from, for the worker does not repeat a payment that is
 *   under way; `since`, what is older was heard before; and what the request may say besides: `durationMonths`, `origins`
 */
export async function * follow (libp2p, cid, worker, { signal, isOwn, known, since, ...wishes } = {}) {
  const request = { type: 'NEW-CID', cid, id: crypto.randomUUID(), ...wishes }
  const talk = openTalk(libp2p, worker, request, since, signal)
  let pin = known ?? { step: 'joining', names: {} }
  try {
    yield pin
    while (true) {
      await talk.ask()
      if (pin.step === 'joining' || pin.step === 'error') yield pin = { ...pin, step: 'asking', error: undefined }
      for (let said; (said = await talk.answer(patience(pin))) != null;) {
        yield pin = { ...next(pin, said, request, isOwn), number: talk.number() }
        if (pin.step === 'error' && pin.error.again == null) return
      }
    }
  } finally {
    talk.close()
  }
}

/** What a message makes of what was known, for whoever asked that `request`. Pure; the same again changes nothing. */
export function next (pin, said, request = {}, isOwn = () => false) {
  if (PAID_BY_SOMEBODY.includes(said.status) && !isOwn(said)) return { ...pin, names: othersNames(pin.names, said) }
  const waits = ['joining', 'asking', 'fetching', 'error'].includes(pin.step)
  const unlessKept = (step) => isKept(pin) ? pin.step : step
  const { [said.nameId]: known, ...others } = pin.names
  const payment = known?.expirationDate === said.expirationDate ? pin.payment : undefined // it bought a longer term
  const told = said.renewal ?? (said.fee && { ...said.fee, quoteId: said.quote?.id, expires: said.quote?.expires })
  const isOurs = told != null && isFor(request, said, told)
  const offer = isOurs ? newest(pin.offer, told) : pin.offer
  switch (said.status) {
    case 'FETCHING-CID': return waits ? { ...pin, step: 'fetching', fetched: said } : pin
    case 'ADDING-CID': return !isOurs ? pin : { ...pin, step: waits ? underWay(pin) : pin.step, quote: said, offer }
    case 'PAYMENT-SEEN': return { ...pin, step: unlessKept('paid'), payment: said }
    case 'PAYMENT-SHORT': return { ...pin, step: unlessKept('short'), payment: said }
    case 'ADDED-CID': return pin // it does not say whose payment that was; CID-PINNED-WITH-NAME follows and does
    case 'CID-PINNED-WITH-NAME':
    case 'EXPIRING-CID': return keptBy({ ...others, [said.nameId]: { ...said, isOwn: true } }, { ...pin, offer, payment })
    case 'EXPIRED-CID': return keptBy(others, pin)
    case 'ERROR': return waits ? { ...pin, step: 'error', error: { ...said, again: again(said) } } : pin
    default: return pin // a newer worker may say more than this page knows
  }
}

const PAID_BY_SOMEBODY = ['PAYMENT-SEEN', 'PAYMENT-SHORT', 'CID-PINNED-WITH-NAME', 'EXPIRING-CID', 'EXPIRED-CID']

/** Others' pins of the same content are shown beside ours, and say nothing about ours. Their payments are not shown. */
function othersNames (names, said) {
  const { [said.nameId]: _, ...rest } = names
  if (said.status === 'EXPIRED-CID') return rest
  return said.expirationDate == null ? names : { ...rest, [said.nameId]: { ...said, isOwn: false } }
}

export const ownNames = ({ names }) => Object.values(names).filter(({ isOwn }) => isOwn)

/** A price is for whom it answers; one that answers nobody, if it is for as long as was wished. */
function isFor (request, said, { durationMonths }) {
  if (said.id != null) return request.id == null || said.id === request.id
  return request.durationMonths == null || request.durationMonths === durationMonths
}

const underWay = ({ payment }) => payment == null ? 'quoted' : payment.missing == null ? 'paid' : 'short'

/** Our pin lasts as long as the last of our names that paid for it. */
function keptBy (names, pin) {
  const ours = ownNames({ names })
  const isEnding = ours.every(({ status }) => status === 'EXPIRING-CID')
  const step = ours.length === 0 ? 'expired' : isEnding ? 'expiring' : 'pinned'
  return { ...pin, step, names }
}

export const isKept = ({ step }) => step === 'pinned' || step === 'expiring'

/** What to pay now, as `offer`: the price, or what a payment lacked. Nothing while one is under way. */
export function toPay ({ step, offer, payment }) {
  if (step === 'short' && offer != null) return { ...offer, amount: payment.missing, paymentAddress: payment.paymentAddress }
  return step === 'quoted' || (isKept({ step }) && payment == null) ? offer : undefined
}

const newest = (known, told) => known?.expires > told.expires ? known : told
const again = ({ retryAfterSeconds: s }) => s == null ? undefined : new Date(Date.now() + Math.min(s, LONGEST_PATIENCE) * 1000)

function patience ({ step, error, payment, offer }) {
  if (error?.again) return (error.again - Date.now()) / 1000
  if (payment == null && isKept({ step }) && offer != null) return untilLapsed(offer)
  return PATIENCE[step] ?? (payment ? PATIENCE.paid : Infinity)
}

const untilLapsed = ({ expires }) => Math.max(PATIENCE.quoted, Math.min((Date.parse(expires) - Date.now()) / 1000, LONGEST_PATIENCE))

/** The request on its way out, and the worker's answers to it in their order. */
function openTalk (libp2p, worker, request, since, signal) {
  const { pubsub } = libp2p.services
  const unread = []
  let newest = since
  let isBack = false
  let wake = () => {}

  /**
   * Gossip repeats what was said in the last seconds to a page that was reloaded, and in no order: what was kept would
   * seem to be kept still. A worker's messages are numbered by the time in nanoseconds (other peers' by chance).
   */
  function isOld (number) {
    const apart = (number ?? 0n) - BigInt(Date.now()) * 1_000_000n
    if (apart > HOUR_NS || apart < -HOUR_NS) return false
    if (newest != null && number <= BigInt(newest)) return true
    newest = String(number)
    return false
  }
  function hear ({ detail: { topic, from, data, sequenceNumber } }) {
    if (topic !== TOPIC || !worker.equals(from)) return
    let said
    try { said = JSON.parse(new TextDecoder().decode(data)) } catch { return }
    if (said?.cid !== request.cid || said.status == null) return
    if (said.status === 'ERROR' && said.id !== request.id) return // somebody else's
    if (isOld(sequenceNumber)) return
    performance.mark(said.status, { detail: said }) // every message is a mark: see DevTools, or a PerformanceObserver
    if (unread.push(said) > MOST_UNREAD) unread.shift()
    wake()
  }
  function comeBack ({ detail }) { // what the worker said while it was away, or we were, is lost
    isBack ||= worker.equals(detail)
    wake()
  }
  const listeners = [
    [pubsub, 'message', hear],
    [pubsub, 'gossipsub:graft', () => wake()],
    [libp2p, 'peer:connect', comeBack],
    [signal, 'abort', () => wake()]
  ]
  listeners.forEach(([target, event, listener]) => target?.addEventListener(event, listener))
  pubsub.subscribe(TOPIC)

  /** Until something happens, or so many seconds have passed. */
  async function pause (seconds) {
    signal?.throwIfAborted()
    let timer
    await new Promise((resolve) => {
      wake = resolve
      if (seconds !== Infinity) timer = setTimeout(resolve, seconds * 1000)
    })
    clearTimeout(timer)
    signal?.throwIfAborted()
  }
  return {
    /** Publishes the request, once somebody is there to hear it. */
    async ask () {
      while (true) {
        if (pubsub.getMeshPeers(TOPIC).length > 0) {
          performance.mark('NEW-CID', { detail: request })
          const { recipients } = await pubsub.publish(TOPIC, new TextEncoder().encode(JSON.stringify(request)))
          if (recipients.length > 0) return void (isBack = false)
        }
        await pause(1)
      }
    },
    /** The next answer; undefined when it is time to ask again. */
    async answer (seconds) {
      const until = performance.now() + seconds * 1000
      while (unread.length === 0) {
        const left = (until - performance.now()) / 1000
        if (isBack || left <= 0) return undefined
        await pause(left)
      }
      return unread.shift()
    },
    number: () => newest,
    close () {
      listeners.forEach(([target, event, listener]) => target?.removeEventListener(event, listener))
    }
  }
}
