/**
 * A PSBT on the screen for a wallet's camera: an animated QR code of BC-UR parts (ur:crypto-psbt), and as a file.
 *
 * The parts are a fountain code (BCR-2024-001): the camera may begin anywhere and miss some.
 */
import './buffer.js' // before bc-ur, which expects Node's Buffer
import { UR, UREncoder } from '@ngraveio/bc-ur'
import qrcode from 'qrcode-generator'

const PART_BYTES = 150 // a code that a phone reads from a screen
const PART_MS = 200
const QUIET_ZONE = 4
const MODULE_PIXELS = 6

/** Endless parts `ur:crypto-psbt/1-7/…`; one that fits whole is `ur:crypto-psbt/…`. */
export function urParts (psbt) {
  const { cbor } = UR.fromBuffer(Buffer.from(psbt))
  const encoder = new UREncoder(new UR(cbor, 'crypto-psbt'), PART_BYTES)
  return () => encoder.nextPart().toUpperCase() // upper case: QR's compact alphabet
}

/** Draws one text as a QR code. */
export function drawQr (canvas, text) {
  const code = qrcode(0, 'L')
  code.addData(text, 'Alphanumeric')
  code.make()
  const modules = code.getModuleCount()
  canvas.width = canvas.height = (modules + 2 * QUIET_ZONE) * MODULE_PIXELS
  const context = canvas.getContext('2d')
  context.fillStyle = '#fff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  context.fillStyle = '#000'
  for (let row = 0; row < modules; row++) {
    for (let column = 0; column < modules; column++) {
      if (!code.isDark(row, column)) continue
      context.fillRect((column + QUIET_ZONE) * MODULE_PIXELS, (row + QUIET_ZONE) * MODULE_PIXELS, MODULE_PIXELS, MODULE_PIXELS)
    }
  }
}

/** Shows part after part until the signal aborts; `isPaused()` holds it. */
export function animate (canvas, psbt, { signal, isPaused = () => false }) {
  const nextPart = urParts(psbt)
  const show = () => { if (!isPaused()) drawQr(canvas, nextPart()) }
  drawQr(canvas, nextPart())
  const timer = setInterval(show, PART_MS)
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

/** A link that downloads the PSBT (binary, as BIP174 says a file is). */
export function psbtLink (anchor, psbt, fileName) {
  URL.revokeObjectURL(anchor.href)
  anchor.href = URL.createObjectURL(new Blob([psbt], { type: 'application/octet-stream' }))
  anchor.download = fileName
}
