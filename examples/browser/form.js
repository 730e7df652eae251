/** The form that takes a picture or a folder, chosen or dropped; and the field that takes again what was lost. */
import { fromDrop, fromInput, inWords } from './choose.js'
import { onSubmit, showPreview } from './view.js'

const $ = (id) => document.getElementById(id)
let chosen, from

/** @param {{onAsk: function, onChosenAgain: function}} told each with what choose.js makes of the files; may throw */
export function offerChoice ({ onAsk, onChosenAgain }) {
  $('picture').addEventListener('change', () => take($('picture'), () => fromInput($('picture'))))
  $('folder').addEventListener('change', () => take($('folder'), () => fromInput($('folder'))))
  for (const each of ['dragover', 'drop']) addEventListener(each, (event) => event.preventDefault()) // or the browser opens the file
  $('drop').addEventListener('dragover', () => $('drop').classList.add('is-over'))
  for (const each of ['dragleave', 'drop']) $('drop').addEventListener(each, () => $('drop').classList.remove('is-over'))
  $('drop').addEventListener('drop', ({ dataTransfer }) => take(undefined, () => fromDrop(dataTransfer)))
  onSubmit('picture-form', async (words) => {
    if (from?.files.length > 0) chosen = fromInput(from) // a file that was changed and chosen again makes no `change`
    if (chosen == null) throw new Error('Choose a picture or a folder first, or drop one here.')
    await onAsk({ ...chosen, ...chosen.kind === 'picture' && { title: words.title, description: words.description } })
  })
  for (const id of ['lost-picture', 'lost-folder']) {
    $(id).addEventListener('change', () => trouble('lost', async () => onChosenAgain(await fromInput($(id)))))
  }
}

/** From a field, or from none: then no field shows what it had before. */
const take = (field, act) => trouble('picture-form', async () => {
  const taken = await act()
  if (taken == null) return
  for (const other of [$('picture'), $('folder')]) if (other !== field) other.value = ''
  chosen = taken
  from = field
  const isPicture = chosen.kind === 'picture'
  $('chosen').textContent = inWords(chosen)
  $('words').hidden = !isPicture
  $('title').required = isPicture
  $('is-folder').hidden = isPicture
  showPreview(isPicture ? chosen.entries[0].file : undefined)
})

async function trouble (id, act) {
  $(`${id}-error`).textContent = ''
  try {
    await act()
  } catch (error) {
    $(`${id}-error`).textContent = error.message
  }
}
