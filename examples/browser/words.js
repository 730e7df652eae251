/** What the page says: every state and error of a pin in words, amounts and dates as people read them. Pure. */
import { ownNames } from './pinning.js'

const SWARTZ_PER_DOI = 100_000_000n

/** {headline, explanation} of a pin as `follow` yields it, and of what this browser remembers of it (remember.js). */
export function describe (pin, { made, sent, size: whole, kept } = {}) {
  const { fetched, quote, payment, error } = pin
  const others = othersKeep(pin)
  const before = kept ? `It was kept until ${day(kept.until)} under the name ${kept.nameId}, and is no longer. ` : ''
  switch (pin.step) {
    case 'joining': return say('Waiting for the worker', `${before}The question goes out as soon as the worker hears it.`)
    case 'asking': return say('Asking for a price', `${before}The worker has been asked. Keep this page open: it fetches from here.`)
    case 'fetching': return say(`Fetching: ${progress(fetched, whole)}`, `${before}${whole ? `${count(fetched.blocks, 'block')}, ${size(fetched.bytes)} of ${size(whole)}. ` : ''}Keep this page open until the price is there.`)
    case 'quoted':
      if (sent) return say('The payment is on its way', `Transaction ${sent.txid} was sent. The worker says so as soon as it sees it.`)
      if (made) return say('The payment waits for your wallet', `It was made under the name ${made.name}. Once your wallet has signed and sent it, the worker sees it by itself.`)
      return say('Here is the price', `${before}${others}The worker has all of it (${count(quote.blocks, 'block')}) and waits for your payment.`)
    case 'paid': return say(`Payment seen: ${payment.confirmations} of ${payment.confirmationsNeeded} confirmations`, `Under the name ${payment.nameId}. You may close this page, the payment is on its way.`)
    case 'short': return say(`${doi(payment.missing)} are missing`, `${doi(payment.received)} came under the name ${payment.nameId}. Pay the rest under the same name, and it counts together.`)
    case 'pinned': return say(ends(pin) ? `Kept until ${day(ends(pin))}` : 'Every block is kept', furtherPayment(pin, sent) ?? 'Every block is on the worker\'s disk. Anybody can read it there, whether you are here or not.')
    case 'expiring': return say(`Ends in ${count(daysLeft(pin), 'day')}`, furtherPayment(pin, sent) ?? 'Pay again under the same name, and it stays.')
    case 'expired': return say('Expired', others ? `${before}Your paid time is over. ${others}` : `${before}The paid time is over, and the worker has let it go. Ask again to keep it anew.`)
    case 'error': return say(ERRORS[error.code] ?? 'It did not work', `${before}The worker says: ${error.message}.${error.again ? ` Asks again at ${clock(error.again)}.` : ''}`)
  }
}

/** 99 at most: what is fetched is still to be measured, and the worker may count what we do not know of. */
export const percent = ({ bytes }, whole) => Math.min(99, Math.floor(100 * bytes / whole))
const progress = (fetched, whole) => whole ? `${percent(fetched, whole)} %` : `${count(fetched.blocks, 'block')}, ${size(fetched.bytes)}`

const say = (headline, explanation) => ({ headline, explanation })
const furtherPayment = ({ payment: p }, sent) => p
  ? `A further payment has ${p.confirmations ?? 0} of ${p.confirmationsNeeded ?? '?'} confirmations.`
  : sent && `A further payment was sent: transaction ${sent.txid}. The worker says so as soon as it sees it.`

/** Others' pins of the same content: it is there until then, and what the user pays is another term. */
function othersKeep ({ names }) {
  const others = Object.values(names).filter(({ isOwn }) => !isOwn)
  return others.length > 0 ? `Others have paid for it until ${day(latest(others))}. ` : ''
}

const ERRORS = {
  BAD_REQUEST: 'The worker does not understand this page',
  BAD_CID: 'That is not a CID',
  UNSUPPORTED: 'The worker cannot read this kind of content',
  NOT_FOUND: 'The worker could not find the content',
  TIMEOUT: 'The transfer broke off',
  TOO_LARGE: 'Too large for this worker',
  BUSY: 'The worker is busy',
  DENIED: 'This worker does not keep that',
  INTERNAL: 'The worker had a fault of its own'
}

/** The latest end, as text, among our names that pay for a pin; undefined while none is told. */
export const ends = (pin) => latest(ownNames(pin))
export const daysLeft = (pin) => Math.max(0, ...ownNames(pin).map((name) => name.remainingDays ?? 0))
const latest = (names) => names.map((name) => name.expirationDate).sort().at(-1)

/** 7004482 -> "0.07004482 DOI", and what comes back with a minus. Whole swartz in, no float near it. */
export function doi (swartz) {
  const amount = BigInt(swartz)
  if (amount < 0n) return `−${doi(-amount)}`
  const rest = String(amount % SWARTZ_PER_DOI).padStart(8, '0').replace(/0+$/, '')
  return `${amount / SWARTZ_PER_DOI}${rest && '.' + rest} DOI`
}

export const count = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`
export const day = (iso) => new Date(iso).toLocaleDateString('en', { dateStyle: 'long', timeZone: 'UTC' })
const clock = (date) => date.toLocaleTimeString('en', { timeStyle: 'medium' })
export const moment = (iso) => new Date(iso).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })

export function size (bytes) {
  if (bytes < 1024) return count(bytes, 'byte')
  return bytes < 1_048_576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1_048_576).toFixed(1)} MB`
}
