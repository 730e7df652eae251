/**
 * What was asked from this browser: a short list in localStorage, newest first, one entry for each CID.
 *
 * A worker that is asked again says what it keeps and what it charges. It repeats neither a payment that is under way
 * nor what a payment lacked: only the page can remember those, and without them it would ask for the money twice.
 *
 *   {cid, label, kind, title, description, file, size, asked,    what it is; `size` in bytes of blocks
 *    worker, pin, heard, number,   where it stood when the worker last spoke (pinning.js), when that was, and which
 *                              of its messages it was
 *    months, most,             for how long it is wanted, and the longest that is sold
 *    kept,                     {until, nameId}, if it ever was
 *    made, sent,               the payment that was made for it, and {txid} if it was sent from here
 *    paid}                     [{name, txid}] of every payment that was made for it, the newest last
 */
import { isKept, ownNames } from './pinning.js'
import { ends } from './words.js'

const KEY = 'pinning-worker.asked'
const MOST = 20
const MOST_PAID = 20
const MOST_PSBT = 200_000 // letters: localStorage has a few million
let unstored // what the storage does not take lasts as long as the page

export function everythingAsked () {
  if (unstored != null) return unstored
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '[]').filter((each) => typeof each?.cid === 'string').map(readable).slice(0, MOST)
  } catch {
    return [] // no storage, or not ours
  }
}

export const recall = (cid) => everythingAsked().find((each) => each.cid === cid)

/** Puts `news` into the entry of that CID, or makes one. Returns the entries that had to go. */
export function remember (cid, news) {
  const entries = everythingAsked()
  const at = entries.findIndex((each) => each.cid === cid)
  if (at >= 0) entries[at] = { ...entries[at], ...news }
  else entries.unshift({ cid, label: cid, asked: Date.now(), ...news })
  const dropped = entries.splice(MOST)
  write(entries)
  return dropped
}

export const forget = (cid) => write(everythingAsked().filter((each) => each.cid !== cid))

/** News of a pin. */
export function rememberPin (cid, worker, pin) {
  const { step, names, quote, offer, payment, fetched, error, number } = pin
  const told = error && { code: error.code, message: error.message }
  const kept = isKept(pin) && ends(pin) ? { kept: { until: ends(pin), nameId: ownNames(pin)[0].nameId } } : {}
  return remember(cid, { worker, heard: Date.now(), pin: { step, names, quote, offer, payment, fetched, error: told }, ...number && { number }, ...kept })
}

/** From where `follow` goes on after a reload: what the worker will not say again. */
export function unrepeated ({ worker, pin } = {}, askedWorker) {
  if (pin?.payment == null || worker !== askedWorker) return undefined
  return { step: 'joining', names: pin.names, payment: pin.payment, quote: pin.quote }
}

/** Remembers a payment that was made: from now on its name and its transaction are this page's own. */
export function rememberMade (cid, payment) {
  const { name, txid } = payment
  const paid = [...(recall(cid)?.paid ?? []).filter((each) => each.txid !== txid), { name, txid }].slice(-MOST_PAID)
  return remember(cid, { made: storable(payment), paid })
}

/** Whether a message is about a payment that was made here, or about a pin under its name. */
export function isOwn (cid, { nameId, txid }) {
  const { paid = [], sent } = recall(cid) ?? {}
  return (txid != null && txid === sent?.txid) || paid.some((each) => each.name === nameId || (txid != null && each.txid === txid))
}

/** A payment as it is remembered: with its PSBT as text, if it is not too long. */
function storable ({ psbt, ...payment }) {
  const text = btoa(Array.from(psbt, (byte) => String.fromCharCode(byte)).join(''))
  const amounts = Object.entries(payment).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value])
  return { ...Object.fromEntries(amounts), psbt: text.length > MOST_PSBT ? undefined : text }
}

const TEXTS = ['name', 'txid', 'after']
export function restored ({ psbt, ...payment }) {
  const amounts = Object.entries(payment).map(([name, value]) => [name, /^-?\d+$/.test(value) && !TEXTS.includes(name) ? BigInt(value) : value])
  return { ...Object.fromEntries(amounts), psbt: Uint8Array.from(atob(psbt), (letter) => letter.charCodeAt(0)) }
}

function write (entries) {
  try {
    localStorage.setItem(KEY, JSON.stringify(entries))
    unstored = undefined
  } catch {
    unstored = entries
  }
}

/** Without what another version of this page may have meant by it. */
function readable (entry) {
  const { pin } = entry
  const isPin = typeof pin?.step === 'string' && typeof pin.names === 'object' && pin.names != null
  const { paid } = entry
  return { ...entry, label: String(entry.label ?? entry.cid), pin: isPin ? pin : undefined, paid: Array.isArray(paid) ? paid : [] }
}
