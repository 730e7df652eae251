/** The page: reads what was pasted or chosen, and shows what `verify.js` finds. */
import { hexToBytes } from '@noble/hashes/utils.js'
import { checkReceipt, readBrought, readReceipt } from './verify.js'

const element = (id) => document.getElementById(id)

element('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  element('findings').hidden = true
  show(await verify())
})

async function verify () {
  try {
    const receipt = readReceipt(await chosenReceipt())
    const brought = { ...readBrought(element('trusted').value), file: await bytesOf('headers') }
    return { receipt, ...checkReceipt(receipt, brought) }
  } catch (error) {
    return { receipt: null, proven: [], claimed: [], refused: [error.message] }
  }
}

async function chosenReceipt () {
  const pasted = element('pasted').value.trim()
  if (pasted === '') {
    const file = await bytesOf('file')
    if (file === null) throw new Error('there is no receipt yet')
    return file
  }
  return pasted.startsWith('{') ? new TextEncoder().encode(pasted) : hexToBytes(pasted.replace(/\s/g, ''))
}

async function bytesOf (id) {
  const [file] = element(id).files
  return file === undefined ? null : new Uint8Array(await file.arrayBuffer())
}

function headline (isBad, isInChain) {
  if (isBad) return 'Refused: do not believe this receipt'
  return isInChain ? 'The receipt holds' : 'It holds if its block is in the chain'
}

function show ({ receipt, isInChain, proven, claimed, refused }) {
  const isBad = refused.length > 0
  element('headline').textContent = headline(isBad, isInChain)
  element('headline').classList.toggle('is-bad', isBad)
  element('terms').replaceChildren(...(isBad ? [] : terms(receipt)))
  for (const [id, lines] of Object.entries({ proven, claimed, refused })) {
    element(id).replaceChildren(...lines.map((line) => textIn('li', line)))
    element(`${id}-part`).hidden = lines.length === 0
  }
  element('findings').hidden = false
}

function terms ({ cid, nameId, bytes, blocks, starts, ends, months, amount, txid, worker }) {
  const rows = {
    Content: cid, Name: nameId, Size: `${bytes} bytes in ${blocks} blocks`, Term: `${starts} to ${ends}`,
    Payment: `${amount} swartz for ${months} months, ${txid}`, Worker: worker
  }
  return Object.entries(rows).flatMap(([title, value]) => [textIn('dt', title), textIn('dd', value)])
}

function textIn (tag, text) {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}
