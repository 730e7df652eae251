/** What the page shows. Nothing here knows libp2p; every element stands in index.html. */
import { isKept } from './pinning.js'
import { hidePayment, showOffer } from './price.js'
import { day, describe, moment, percent } from './words.js'

const $ = (id) => document.getElementById(id)
const element = (tag, text, className = '') => Object.assign(document.createElement(tag), { textContent: text, className })

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

/** A pin, and what is remembered of it (remember.js). `asOf`: the worker said so then, and is asked again now. */
export function showPin (pin, entry, asOf) {
  const { headline, explanation } = describe(pin, entry)
  $('pin').hidden = false
  $('pin').className = LOOKS[pin.step] ?? ''
  $('label').textContent = entry.label === entry.cid ? '' : entry.label
  $('headline').textContent = headline
  $('explanation').textContent = explanation
  $('as-of').hidden = asOf == null
  $('as-of').textContent = `As the worker said on ${moment(asOf ?? 0)}. It is being asked again.`
  $('cid').textContent = entry.cid
  $('again').hidden = !['expired', 'error'].includes(pin.step)
  $('anew').hidden = entry.sent == null
  $('progress').hidden = pin.step !== 'fetching' || !entry.size
  if (!$('progress').hidden) $('progress').value = percent(pin.fetched, entry.size)
  showDepth(pin.step === 'paid' ? pin.payment : undefined)
  const names = Object.values(pin.names)
  $('names').replaceChildren(...names.map(({ nameId, expirationDate, isOwn }) => {
    return element('li', `${nameId}: until ${day(expirationDate)}${isOwn ? '' : ', paid by others'}`)
  }))
  showOffer(pin, entry)
  $('move-time').disabled = !isKept(pin)
  $('move-time').textContent = pin.step === 'expiring' ? 'Let time pass until after the end' : 'Let time pass until a week before the end'
}

export function hidePin () {
  $('pin').hidden = $('pay').hidden = true
  hidePayment()
}

/** That what was to be fetched from here is not here any more; nothing if it is. */
export function showLost (entry) {
  $('lost').hidden = entry == null
  if (entry == null) return
  const isFolder = entry.kind === 'folder'
  $('lost-said').textContent = `The ${entry.kind} is no longer in this browser, and the worker fetches it from here. Choose it again: ${entry.file}.`
  $('lost-folder-field').hidden = !isFolder
  $('lost-picture-field').hidden = isFolder
}

/** Why there is no worker, and what to do; nothing once there is one. */
export function showNoWorker (why) {
  $('no-worker').hidden = why == null
  if (why == null) return
  $('no-worker-said').textContent = why
  $('connection').className = 'connection is-off'
  if ($('connection').textContent.startsWith('Starting')) $('connection').textContent = 'Not connected. Trying again …'
}

function showDepth (seen) {
  $('depth').hidden = seen == null
  const blocks = Array.from({ length: seen?.confirmationsNeeded ?? 0 }, (_, at) => element('li', '', at < seen.confirmations ? 'is-done' : ''))
  $('depth').replaceChildren(...blocks)
}

/** Every message is a performance mark (pinning.js): shown here as it goes. */
export function showWire () {
  new PerformanceObserver((marks) => marks.getEntries().forEach(({ name, detail, startTime }) => {
    const line = element('li', JSON.stringify(detail))
    line.prepend(element('span', `${(startTime / 1000).toFixed(2)} s `, 'note'), element('b', `${name === 'NEW-CID' ? '→' : '←'} ${name} `))
    $('messages').append(line)
  })).observe({ type: 'mark' })
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

