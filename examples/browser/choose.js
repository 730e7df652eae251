/**
 * What a person chooses or drops, as one thing:
 *
 *   {kind: 'picture', label, entries: [{path, file}], hidden}    one file
 *   {kind: 'folder', …}                                          a folder, or several files: they become a directory
 *
 * `path` is below the folder that was chosen, so that the directory is that folder and not a folder around it. Files and
 * folders whose name begins with a dot (`.DS_Store`, `.git`) are the computer's and stay out; `hidden` says how many.
 */
import { count, size } from './words.js'

/** From <input type=file>, for files or (webkitdirectory) for a folder. */
export const fromInput = ({ files }) => chosen([...files].map((file) => ({ path: file.webkitRelativePath || file.name, file })))

/** From a drop. Its items are gone with the event, so all are taken before the first wait. */
export async function fromDrop ({ items }) {
  const dropped = [...items].map((item) => item.webkitGetAsEntry()).filter((each) => each != null)
  const found = []
  for (const each of dropped) for await (const entry of walk(each, each.name)) found.push(entry)
  return chosen(found)
}

/** What was chosen, in words. */
export function inWords ({ kind, label, entries, hidden }) {
  const bytes = entries.reduce((sum, { file }) => sum + file.size, 0)
  const what = kind === 'picture' ? label : label == null ? count(entries.length, 'file') : `Folder ${label}: ${count(entries.length, 'file')}`
  return `${what}, ${size(bytes)}.${hidden > 0 ? ` Left out: ${count(hidden, 'hidden file')}.` : ''}`
}

async function * walk (entry, path) {
  if (entry.isFile) return void (yield { path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) })
  const reader = entry.createReader()
  while (true) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)) // a hundred at a time
    if (some.length === 0) return
    for (const each of some) yield * walk(each, `${path}/${each.name}`)
  }
}

/** Undefined if nothing was chosen. */
function chosen (found) {
  if (found.length === 0) return undefined
  const entries = found.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')))
  const hidden = found.length - entries.length
  if (entries.length === 0) throw new Error('There is nothing in it but hidden files.')
  if (entries.length === 1 && !entries[0].path.includes('/')) return { kind: 'picture', label: entries[0].path, entries, hidden }
  const [top, ...others] = new Set(entries.map(({ path }) => path.includes('/') ? path.slice(0, path.indexOf('/')) : ''))
  if (top === '' || others.length > 0) return { kind: 'folder', entries, hidden }
  const below = entries.map(({ path, file }) => ({ path: path.slice(top.length + 1), file }))
  return { kind: 'folder', label: top, entries: below, hidden }
}
