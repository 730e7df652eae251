/** The sandbox's buttons: what a wallet and a miner would do, done by the little server that serves this page. */
const $ = (id) => document.getElementById(id)
const BLOCK_MS = 1000

/** @param {() => {psbt: Uint8Array, depth: number, daysLeft: number}} current what the buttons act on */
export function offerSandbox (current) {
  $('sandbox').classList.add('is-offered')
  onClick('sign', async () => {
    const { psbt, depth } = current()
    tell(`Paid. Transaction ${await post('pay', psbt)}`)
    for (let block = 0; block < depth; block++) { // one after the other, so that they can be seen to come
      await new Promise((resolve) => setTimeout(resolve, BLOCK_MS))
      await post('mine')
    }
  })
  onClick('move-time', async () => {
    const days = current().daysLeft - 6
    await post('move-time', JSON.stringify({ days }))
    tell(`${days} days later`)
  })
}

const tell = (text) => { $('sandbox-said').textContent = text }

function onClick (id, order) {
  $(id).addEventListener('click', async () => {
    $(id).disabled = true
    await order().catch((error) => tell(error.message))
  })
}

async function post (order, body = '') {
  const answer = await fetch(`sandbox/${order}`, { method: 'POST', body })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.text()
}
