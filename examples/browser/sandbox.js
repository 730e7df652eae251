/** The sandbox's buttons: what a wallet and a miner would do, done by the little server that serves this page. */
const $ = (id) => document.getElementById(id)
const BLOCK_MS = 1000

/**
 * @param {() => {psbt: Uint8Array, depth: number, daysLeft: number, isEnding: boolean}} current what the buttons act on
 * @param {(txid: string) => void} onSent
 */
export function offerSandbox (current, onSent) {
  $('sandbox').classList.add('is-offered')
  $('who-sends-here').hidden = false
  onClick('sign', async () => {
    const { psbt, depth } = current()
    const txid = await post('pay', psbt)
    onSent(txid)
    tell(`Paid. Transaction ${txid}`)
    for (let block = 0; block < depth; block++) { // one after the other, so that they can be seen to come
      await new Promise((resolve) => setTimeout(resolve, BLOCK_MS))
      await post('mine')
    }
  })
  onClick('mine', async () => {
    tell(`Block ${await post('mine')}`)
    $('mine').disabled = false
  })
  onClick('move-time', async () => {
    const { daysLeft, isEnding } = current()
    const days = isEnding ? daysLeft + 1 : daysLeft - 6
    await post('move-time', JSON.stringify({ days }))
    tell(`${days} days later`)
  })
}

const tell = (text) => { $('sandbox-said').textContent = text }

/** The button rests until its order is done; `showPin` and `showPayment` say when it makes sense again. */
function onClick (id, order) {
  $(id).addEventListener('click', async () => {
    $(id).disabled = true
    await order().catch((error) => {
      tell(error.message)
      $(id).disabled = false
    })
  })
}

async function post (order, body = '') {
  const answer = await fetch(`sandbox/${order}`, { method: 'POST', body })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.text()
}
