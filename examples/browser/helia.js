/**
 * Which parts the page's IPFS node is made of.
 *
 * `createHelia()` would add public gateways, delegated routers and a public bootstrap list. Here every part is named:
 * what is not on this page is not there, and nothing is asked or told but to the peers that you dial.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'

const REDIAL_MS = 3000

/**
 * @param {object} [options]
 * @param {string[]} [options.listen] multiaddrs ending in /p2p-circuit: relays through which this page can be dialled
 */
export async function startHelia ({ listen = [] } = {}) {
  // In memory: blocks are gone with the page. files.js keeps the files over a reload, which give the same blocks again.
  const light = createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() })
  return withBitswap(withLibp2pLight(light, {
    addresses: { listen },
    transports: [
      webSockets(),
      webRTCDirect({ rtcConfiguration: { iceServers: [] } }), // no STUN server learns who you are
      circuitRelayTransport()
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }, // a browser's default refuses 127.0.0.1
    services: {
      identify: identify(),
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) // told by `recipients`, not by an exception
    }
  })).start()
}

/**
 * Stays connected to one worker by the first of its addresses that works, until the signal aborts. `onTrouble` is told
 * why a dial failed; the next one comes three seconds later.
 */
export async function stayConnected (libp2p, addresses, { signal, onTrouble }) {
  const targets = addresses.map((address) => multiaddr(address))
  while (!signal.aborted) {
    try {
      const connection = await libp2p.dial(targets, { signal })
      if (connection.status === 'open') await event(connection, 'close', signal)
    } catch (error) {
      onTrouble(error)
      await new Promise((resolve) => setTimeout(resolve, REDIAL_MS))
    }
  }
}

const event = (target, name, signal) => new Promise((resolve) => {
  target.addEventListener(name, resolve, { once: true, signal })
  signal.addEventListener('abort', resolve, { once: true })
})

/** Who is behind the addresses: the peer id at their end. Throws what a person can read. */
export function peerOf (addresses) {
  if (addresses.length === 0) throw new Error('This page does not know its worker yet.')
  const ids = new Set(addresses.map(peerIdIn))
  if (ids.size > 1) throw new Error('These are addresses of several workers: this page talks to one.')
  return peerIdFromString([...ids][0])
}

function peerIdIn (address) {
  try {
    const [, id] = String(multiaddr(address)).match(/\/p2p\/([^/]+)$/)
    return String(peerIdFromString(id))
  } catch (cause) {
    throw new Error(`${address} is no worker's address: that ends in /p2p/ and the worker's peer id.`, { cause })
  }
}
