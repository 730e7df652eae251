/** What the page shows. Nothing here knows libp2p; every element stands in index.html. */
import { isKept, toPay } from './pinning.js'
import { animate, psbtLink } from './qr.js'
import { count, day, describe, doi, moment } from './words.js'

const $ = (id) => document.getElementById(id)
const element = (tag, text, className = '') => Object.assign(document.createElement(tag), { textContent: text, className })
let showing = new AbortController()

export function showConnection (worker, connection, meshPeers, trouble) {
  const isHeard = meshPeers.includes(worker.toString())
  $('connection').className = `connection ${connection == null ? 'is-off' : isHeard ? 'is-on' : ''}`
  if (connection == null) {
    $('connection').textContent = `Not connected${trouble?.message ? ` (${trouble.message})` : ''}. Trying again …`
  } else {
    const address = connection.remoteAddr.toString().split(/\/(?:p2p|certhash)\//)[0]
    $('connection').textContent = `${isHeard ? 'Connected to' : 'Joining'} worker …${worker.toString().slice(-6)} at ${address}`
  }
}

export function showPreview (file) {
  const [image] = $('preview').children
  URL.revokeObjectURL(image.src)
  $('preview').hidden = !file?.type.startsWith('image/')
  image.onerror = () => { $('preview').hidden = true }
  if (!$('preview').hidden) image.src = URL.createObjectURL(file)
}

const LOOKS = { error: 'is-error', pinned: 'is-kept', expiring: 'is-ending', expired: 'is-ending', short: 'is-ending' }

export function showPin (cid, pin) {
  const { headline, explanation } = describe(pin)
  $('pin').hidden = false
  $('pin').className = LOOKS[pin.step] ?? ''
  $('headline').textContent = headline
  $('explanation').textContent = explanation
  $('cid').textContent = cid
  $('again').hidden = !(pin.step === 'expired' || (pin.step === 'error' && !pin.error.again))
  showDepth(pin.step === 'paid' ? pin.payment : undefined)
  const names = Object.values(pin.names)
  $('names').replaceChildren(...names.map(({ nameId, expirationDate }) => element('li', `${nameId}: until ${day(expirationDate)}`)))
  showOffer(pin)
  $('move-time').disabled = pin.step !== 'pinned'
}

function showDepth (seen) {
  $('depth').hidden = seen == null
  const blocks = Array.from({ length: seen?.confirmationsNeeded ?? 0 }, (_, at) => element('li', '', at < seen.confirmations ? 'is-done' : ''))
  $('depth').replaceChildren(...blocks)
}

function showOffer (pin) {
  const offer = toPay(pin)
  $('pay').hidden = offer == null
  if (offer == null) return
  $('pay-title').textContent = isKept(pin) ? 'Keep it longer' : pin.step === 'short' ? 'The rest' : 'The price'
  $('name').value ||= pin.payment?.nameId ?? Object.keys(pin.names)[0] ?? ''
  $('amount').textContent = doi(offer.amount)
  $('term').textContent = `for ${count(offer.durationMonths, isKept(pin) ? 'more month' : 'month')}`
  $('expires').textContent = moment(offer.expires)
  const { sizes, foreign = [] } = pin.quote ?? {}
  list('sizes', sizes ? [['Title and description', sizes.metadata], ['Picture', sizes.image], ['Together', sizes.total]] : [])
  $('foreign').hidden = foreign.length === 0
  $('foreign').textContent = `Not on IPFS, so not kept: ${foreign.join(', ')}`
}

export function showPayment ({ psbt, fee, nameAmount, nameBefore, networkFee, total }, name) {
  hidePayment()
  showing = new AbortController()
  $('payment').hidden = $('sign').disabled = false
  const inName = [['In the name', doi(nameAmount)], ...nameBefore > 0n ? [['Was in the name', doi(-nameBefore)]] : []]
  list('outputs', [['Worker\'s fee', doi(fee)], ...inName, ['Network fee', doi(networkFee)], ['Together', doi(total)]])
  psbtLink($('psbt'), psbt, `${name.replace(/[^\w-]+/g, '-')}.psbt`)
  animate($('qr'), psbt, { signal: showing.signal, isPaused: () => $('pause').ariaPressed === 'true' })
}

export function hidePayment () {
  showing.abort()
  $('payment').hidden = $('sign').disabled = true
}

/** Every message is a performance mark (pinning.js): shown here as it goes. */
export function showWire () {
  new PerformanceObserver((marks) => marks.getEntries().forEach(({ name, detail, startTime }) => {
    const line = element('li', JSON.stringify(detail))
    line.prepend(element('span', `${(startTime / 1000).toFixed(2)} s `, 'note'), element('b', `${name === 'NEW-CID' ? '→' : '←'} ${name} `))
    $('messages').append(line)
  })).observe({ type: 'mark' })
}

function list (id, rows) {
  $(id).replaceChildren(...rows.map(([what, value]) => {
    const row = element('div')
    row.append(element('dt', what), element('dd', value))
    return row
  }))
}

/** A form's fields go to `act`; its button rests meanwhile, and what went wrong is told below it. */
export function onSubmit (id, act) {
  $(id).addEventListener('submit', async (event) => {
    event.preventDefault()
    const button = $(id).querySelector('button:not([type=button])')
    button.disabled = true
    $(`${id}-error`).textContent = ''
    try {
      await act(Object.fromEntries(new FormData($(id))))
    } catch (error) {
      $(`${id}-error`).textContent = error.message
    }
    button.disabled = false
  })
}

$('pause').addEventListener('click', () => { $('pause').ariaPressed = String($('pause').ariaPressed !== 'true') })
if (matchMedia('(prefers-reduced-motion: reduce)').matches) $('pause').ariaPressed = 'true'
