/** The list of what was asked from this browser. Titles and names are put in as text: anybody may have written them. */
import { describe, ends, moment } from './words.js'

const $ = (id) => document.getElementById(id)
const element = (tag, text, className = '') => Object.assign(document.createElement(tag), { textContent: text, className })

export function showAsked (entries, current, onForget) {
  $('asked').hidden = entries.length === 0
  $('asked-list').replaceChildren(...entries.map((entry) => {
    const { cid, label, asked } = entry
    const line = element('li')
    const link = Object.assign(element('a', label, 'wrap'), { href: `#${cid}` })
    if (cid === current) link.ariaCurrent = 'true'
    const forget = Object.assign(element('button', 'Forget', 'quiet'), { type: 'button', ariaLabel: `Forget ${label}` })
    forget.addEventListener('click', () => onForget(cid))
    const text = element('div')
    text.append(link, element('p', headline(entry)), element('p', `Asked on ${moment(asked)}`, 'note'))
    line.append(text, forget)
    return line
  }))
}

function headline ({ pin, made, sent, size }) {
  try {
    const end = ends(pin)
    if (end != null && Date.parse(end) < Date.now()) return 'Its paid time is over'
    return describe(pin, { made, sent, size }).headline
  } catch {
    return 'Asked' // nothing is known of it, or another version of this page wrote it
  }
}
