/**
 * The page: add a picture, ask the worker for a price, pay, follow. The parts to copy are `helia.js`, `pinning.js`,
 * `payment.js`, `names.js`, `coins.js`, `electrum.js`, `qr.js`; what the user sees is in `view.js`.
 *
 * What it works with stands in the address:
 *   ?worker=<multiaddr with /p2p/…>   once for each address of the one worker
 *   &network=doichain                 or doichain-test, doichain-regtest
 *   &electrum=wss://host:port         where the name and the wallet's coins are looked up
 *   &listen=<relay>/p2p-circuit       a relay through which this page is reachable (optional)
 *   &address=…  &sandbox              the sandbox: whose coins, and its buttons
 *   #<cid>                            a CID to follow at once (the page puts it there)
 */
import { unixfs } from '@helia/unixfs'
import { coinsOf } from './coins.js'
import { withElectrum } from './electrum.js'
import { peerOf, startHelia, stayConnected } from './helia.js'
import { nameToSpend } from './names.js'
import { buildPayment } from './payment.js'
import { follow, TOPIC, toPay } from './pinning.js'
import { offerSandbox } from './sandbox.js'
import { hidePayment, onSubmit, showConnection, showPayment, showPin, showPreview, showWire } from './view.js'
import { daysLeft } from './words.js'

const $ = (id) => document.getElementById(id)
const settings = new URLSearchParams(location.search)
const network = settings.get('network') ?? 'doichain'
const workerAddresses = settings.getAll('worker')
let helia, worker, pin, payment, paid
let following = new AbortController()

async function start () {
  helia = await startHelia({ listen: settings.getAll('listen') })
  const { libp2p } = helia
  worker = peerOf(workerAddresses)
  const look = (trouble) => showConnection(worker, libp2p.getConnections(worker)[0], libp2p.services.pubsub.getMeshPeers(TOPIC), trouble)
  libp2p.addEventListener('connection:open', () => look())
  libp2p.addEventListener('connection:close', () => look())
  libp2p.services.pubsub.addEventListener('gossipsub:graft', () => look())
  libp2p.services.pubsub.subscribe(TOPIC) // now, so that the mesh stands when the first question is asked
  stayConnected(libp2p, workerAddresses, { signal: new AbortController().signal, onTrouble: look })
  if (location.hash.length > 1) followCid(location.hash.slice(1))
}

/** The picture, and a metadata.json that names it: one quote covers both. Returns the metadata's CID. */
async function add ({ picture, title, description }) {
  const fs = unixfs(helia)
  const image = await fs.addByteStream(picture.stream())
  const metadata = { name: title, description, image: `ipfs://${image}` }
  return String(await fs.addBytes(new TextEncoder().encode(JSON.stringify(metadata))))
}

async function followCid (cid) {
  following.abort()
  following = new AbortController()
  const { signal } = following
  const origins = helia.libp2p.getMultiaddrs().map(String)
  history.replaceState(null, '', `#${cid}`)
  hidePayment()
  try {
    for await (pin of follow(helia.libp2p, cid, worker, { signal, ...origins.length > 0 && { origins } })) {
      if (pin.payment !== paid) hidePayment() // what was shown has been paid, or is too little now
      paid = pin.payment
      showPin(cid, pin)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function pay ({ name, address }) {
  const cid = location.hash.slice(1)
  hidePayment() // what was made before may be of another name
  payment = await withElectrum(settings.get('electrum'), async (electrum) => {
    const named = await nameToSpend(electrum, name, address, network)
    const coins = await coinsOf(electrum, address, network)
    return buildPayment({ network, cid, offer: toPay(pin), name, owner: address, coins, named })
  })
  showPayment(payment, name)
}

showWire()
onSubmit('picture-form', async (fields) => { followCid(await add(fields)) })
onSubmit('payment-form', pay)
$('again').addEventListener('click', () => followCid(location.hash.slice(1)))
$('picture').addEventListener('change', () => showPreview($('picture').files[0]))
$('address').value = settings.get('address') ?? ''
if (settings.has('sandbox')) offerSandbox(() => ({ psbt: payment.psbt, depth: 6, daysLeft: daysLeft(pin) }))
start()
