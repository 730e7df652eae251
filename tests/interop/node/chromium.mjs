/**
 * A Chromium that tests drive by JSON lines, one command at a time. `tests/interop/chromium.py` holds the other end.
 *
 *   stdin    {"do": "click", "name": "Ask for a price"}
 *   stdout   {"ok": {…}}  or  {"error": "what went wrong"}
 *
 * The first command is `start`; everything ends when stdin closes. Elements are found by the words that a person sees
 * or hears (label, name), so a test also holds the page to be usable without a mouse and without eyes.
 */
import { createInterface } from 'node:readline'
import { URDecoder } from '@ngraveio/bc-ur'
import jsQR from 'jsqr'
import { chromium } from 'playwright-core'
import { PNG } from 'pngjs'

const FLAGS = ['--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run']
let browser, page, traffic, complaints

const commands = {
  async start ({ executable, flags = [] }) {
    browser = await chromium.launch({ executablePath: executable, args: [...FLAGS, ...flags], chromiumSandbox: false })
    return { version: browser.version() }
  },

  /** A new window with nothing remembered; the one before is closed. `traffic`: every address that the page asks for. */
  async open ({ url }) {
    await page?.context().close()
    traffic = []
    complaints = []
    page = await browser.newPage({ viewport: { width: 1000, height: 1100 }, colorScheme: 'light' })
    page.on('request', (request) => traffic.push(request.url()))
    page.on('websocket', (socket) => traffic.push(socket.url()))
    page.on('pageerror', (error) => complaints.push(`${error.stack ?? error}`))
    page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()) })
    await page.goto(url)
  },

  /** The same window again, with what the page has put away. */
  async reload () {
    await page.reload()
  },

  click: async ({ name, role = 'button' }) => page.getByRole(role, { name, exact: true }).click(),
  fill: async ({ label, text }) => page.getByLabel(label, { exact: true }).fill(text),
  choose: async ({ label, option }) => { await page.getByLabel(label, { exact: true }).selectOption({ label: option }) },
  upload: async ({ label, path }) => page.getByLabel(label, { exact: true }).setInputFiles(path),
  /** Files or folders let go over an element, as from a file manager. */
  async drop ({ selector, paths }) {
    const { x, y, width, height } = await page.locator(selector).boundingBox()
    const devtools = await page.context().newCDPSession(page)
    const data = { items: [], files: paths, dragOperationsMask: 1 }
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await devtools.send('Input.dispatchDragEvent', { type, x: x + width / 2, y: y + height / 2, data })
    }
    await devtools.detach()
  },
  /** How far the page can be scrolled sideways on a screen of that width, and by which elements. */
  async overflow ({ width }) {
    const before = page.viewportSize()
    await page.setViewportSize({ ...before, width })
    const found = await page.evaluate(() => ({
      pixels: document.documentElement.scrollWidth - innerWidth,
      by: [...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5).map((each) => each.id || each.tagName)
    }))
    await page.setViewportSize(before)
    return found
  },
  value: async ({ label }) => ({ text: await page.getByLabel(label, { exact: true }).inputValue() }),
  text: async ({ selector }) => ({ text: await page.locator(selector).innerText() }),
  /** Waits until an element is seen and its text fits a regular expression. */
  async shows ({ selector, pattern }) {
    const found = page.locator(selector).filter({ hasText: new RegExp(pattern), visible: true })
    await found.first().waitFor()
    return { text: await found.first().innerText() }
  },
  async download ({ name, path }) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name, exact: true }).click()])
    await download.saveAs(path)
    return { fileName: download.suggestedFilename() }
  },
  async screenshot ({ path, dark, width }) {
    const before = page.viewportSize()
    if (dark) await page.emulateMedia({ colorScheme: 'dark' })
    if (width) await page.setViewportSize({ ...before, width })
    await page.screenshot({ path, fullPage: true, animations: 'disabled' })
    await page.emulateMedia({ colorScheme: 'light' })
    await page.setViewportSize(before)
  },
  /** The messages that went over the topic, as the page marks them: what DevTools shows, with milliseconds. */
  marks: async () => ({
    marks: await page.evaluate(() => performance.getEntriesByType('mark').map((m) => ({ name: m.name, ms: m.startTime, said: m.detail })))
  }),
  evaluate: async ({ expression }) => ({ value: await page.evaluate(expression) }),
  traffic: async () => ({ traffic, complaints }),

  /** Does what a wallet's camera does: looks at the code on the screen until its parts make a whole. */
  async scan ({ selector }) {
    const decoder = new URDecoder()
    while (!decoder.isComplete()) {
      const { data, width, height } = PNG.sync.read(await page.locator(selector).screenshot())
      const seen = jsQR(new Uint8ClampedArray(data), width, height)
      if (seen != null) decoder.receivePart(seen.data.toLowerCase())
    }
    if (!decoder.isSuccess()) throw new Error(decoder.resultError())
    const ur = decoder.resultUR()
    return { type: ur.type, hex: ur.decodeCBOR().toString('hex') }
  }
}

async function answer (line) {
  const { do: name, deadlineMs, ...options } = JSON.parse(line)
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no such command: ${name}`)
    page?.setDefaultTimeout(deadlineMs)
    return { ok: await commands[name](options) ?? {} }
  } catch (error) {
    return { error: `${error.message}\n${(complaints ?? []).join('\n')}` }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(line)) + '\n')
}
await browser?.close()
