/**
 * The price before a payment is made (all of it, in one sum), and the payment to sign. Every element stands in index.html.
 */
import { estimate } from './payment.js'
import { isKept, ownNames, toPay } from './pinning.js'
import { animate, psbtLink } from './qr.js'
import { count, doi, moment } from './words.js'

const $ = (id) => document.getElementById(id)
const element = (tag, text = '') => Object.assign(document.createElement(tag), { textContent: text })
let showing = new AbortController()

export function showOffer (pin, { months, most, made, sent }) {
  const offer = toPay(pin)
  const isAsked = offer == null && (pin.step === 'quoted' || (isKept(pin) && pin.payment == null && months != null)) // for other months
  $('pay').hidden = sent != null || (offer == null && !isAsked)
  if ($('pay').hidden) return
  const isLapsed = Date.parse(offer?.expires) < Date.now()
  $('pay-title').textContent = isKept(pin) ? 'Keep it longer' : pin.step === 'short' ? 'The rest' : 'The price'
  $('name').value ||= made?.name ?? pin.payment?.nameId ?? ownNames(pin)[0]?.nameId ?? ''
  showMonths(offer?.durationMonths ?? months, most, pin.step === 'short')
  $('make').hidden = offer == null || isLapsed
  $('lapsed').hidden = !isLapsed
  $('term').textContent = offer ? `for ${count(offer.durationMonths, isKept(pin) ? 'more month' : 'month')}` : ''
  $('promise').hidden = offer == null || isLapsed
  $('expires').textContent = offer ? moment(offer.expires) : ''
  const price = offer && estimate(offer, pin.step === 'short' || isKept(pin))
  $('amount').textContent = price ? doi(price.total) : 'Asking …'
  list('price', price ? amounts(price, { inName: ' (stays yours)', about: ' (about)' }) : [])
  const { sizes, bytes, foreign = [] } = pin.quote ?? {}
  const parts = sizes && bytes?.image !== 0 ? [['Title and description', sizes.metadata], ['Picture', sizes.image]] : []
  list('sizes', sizes ? [...parts, ['To be kept', sizes.total]] : [])
  $('foreign').hidden = foreign.length === 0
  $('foreign').textContent = `Not on IPFS, so not kept: ${foreign.join(', ')}`
}

function showMonths (months, most = months, isFixed = false) {
  $('months-field').hidden = isFixed || most == null
  if ($('months').length !== most) {
    $('months').replaceChildren(...Array.from({ length: most ?? 0 }, (_, at) => new Option(count(at + 1, 'month'), at + 1)))
  }
  if (months != null) $('months').value = months
}

/** The rows of a price, before or after it is a payment. */
function amounts ({ fee, nameAmount, nameBefore, networkFee, total }, { inName = '', about = '' } = {}) {
  const before = nameBefore > 0n ? [['Was in the name', doi(-nameBefore)]] : []
  return [['Worker\'s fee', doi(fee)], [`In the name${inName}`, doi(nameAmount)], ...before, [`Network fee${about}`, doi(networkFee)], [`Together${about}`, doi(total)]]
}

export function showPayment (payment, name) {
  hidePayment()
  showing = new AbortController()
  const { psbt } = payment
  $('payment').hidden = $('sign').disabled = false
  list('outputs', amounts(payment))
  psbtLink($('psbt'), psbt, `${name.replace(/[^\w-]+/g, '-')}.psbt`)
  animate($('qr'), psbt, { signal: showing.signal, isPaused: () => $('pause').ariaPressed === 'true' })
}

export function hidePayment () {
  showing.abort()
  $('payment').hidden = $('sign').disabled = true
}

function list (id, rows) {
  $(id).replaceChildren(...rows.map(([what, value]) => {
    const row = element('div')
    row.append(element('dt', what), element('dd', value))
    return row
  }))
}

$('pause').addEventListener('click', () => { $('pause').ariaPressed = String($('pause').ariaPressed !== 'true') })
if (matchMedia('(prefers-reduced-motion: reduce)').matches) $('pause').ariaPressed = 'true'
