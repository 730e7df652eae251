/**
 * Starts the page's node and keeps it connected to the worker. While nobody answers, the page says what to do, tries on,
 * and goes on by itself once somebody is there.
 */
import { peerOf, startHelia, stayConnected } from './helia.js'
import { TOPIC } from './pinning.js'
import { onSubmit, showConnection, showNoWorker } from './view.js'

const PATIENCE_MS = 6000
const AGAIN_MS = 3000

/** @param {(found: {helia: object, worker: PeerId}) => void} onStarted the node runs; it may not be connected yet */
export async function connect (settings, onStarted) {
  onSubmit('worker-form', ({ address }) => goTo(settings, address.trim()))
  const addresses = settings.getAll('worker')
  let worker
  try {
    worker = peerOf(addresses)
  } catch (error) {
    return showNoWorker(error.message)
  }
  const missing = sayWhenMissing(addresses)
  const helia = await start(settings.getAll('listen'))
  const { libp2p } = helia
  const look = (trouble) => {
    const [connection] = libp2p.getConnections(worker)
    missing(connection == null)
    showConnection(worker, connection, libp2p.services.pubsub.getMeshPeers(TOPIC), trouble)
  }
  libp2p.addEventListener('connection:open', () => look())
  libp2p.addEventListener('connection:close', () => look())
  libp2p.services.pubsub.addEventListener('gossipsub:graft', () => look())
  libp2p.services.pubsub.subscribe(TOPIC) // now, so that the mesh stands when the first question is asked
  stayConnected(libp2p, addresses, { signal: new AbortController().signal, onTrouble: look })
  onStarted({ helia, worker })
}

/** A node that is to listen on a relay cannot be started while the relay is away: then once more. */
async function start (listen) {
  while (true) {
    try {
      return await startHelia({ listen })
    } catch (error) {
      if (listen.length === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  }
}

/** A function to be told whether the worker is missing: after a while without it, the user is. */
function sayWhenMissing (addresses) {
  const where = addresses.map((address) => address.split('/p2p/')[0]).join(', ')
  let timer
  const missing = (isMissing) => {
    if (isMissing) {
      timer ??= setTimeout(() => showNoWorker(`No worker answers at ${where}.`), PATIENCE_MS)
    } else {
      clearTimeout(timer)
      timer = undefined
      showNoWorker(undefined)
    }
  }
  missing(true)
  return missing
}

/** The same page with another worker. */
function goTo (settings, address) {
  peerOf([address]) // throws what is wrong with it
  settings.delete('worker')
  settings.set('worker', address)
  location.search = settings
}
