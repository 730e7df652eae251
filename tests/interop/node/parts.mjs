/**
 * Which parts a peer is made of. The same parts as the deployed browser client, with listeners.
 *
 * `createHelia()` would add public gateways and delegated routers; here every part is named, so what is not
 * on this page is not there.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { pubsubPeerDiscovery } from '@libp2p/pubsub-peer-discovery'
import { tcp } from '@libp2p/tcp'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { FsBlockstore } from 'blockstore-fs'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'

/**
 * @param {object} options
 * @param {string[]} [options.listen]     multiaddrs; none: the peer only dials, as a browser does
 * @param {string} [options.seed]         hex, 32 bytes: the same peer id each time
 * @param {string} [options.privateKey]   hex of the libp2p PrivateKey protobuf, as the old relay kept it
 * @param {string} [options.blockstore]   a folder; none: in memory
 * @param {string} [options.discovery]    a topic for pubsub peer discovery; none: no discovery
 * @param {boolean} [options.local]       finds peers by mDNS, and dials them; without: no mDNS
 * @param {string[]} [options.directPeers] multiaddrs with peer ids: gossipsub's explicit peering agreements
 * @param {boolean} [options.dht]         a server of the DHT, private addresses included; without: no DHT
 * @param {string} [options.swarmKey]     the text of a swarm.key; none: the network is open
 * @param {number} [options.patienceMs]  of the ping that js-libp2p hangs up for; it pings twice as rarely (5000)
 * @param {boolean} [options.relay]       be a circuit relay, with js-libp2p's default limits
 * @returns {{helia, blocks}} blocks: the store itself, below Helia (whose own delete asks a content router)
 */
export async function startPeer (options) {
  const { listen = [], seed, privateKey, blockstore, discovery, local = false, directPeers = [], dht, swarmKey, patienceMs = 5_000 } = options
  const blocks = blockstore == null ? new MemoryBlockstore() : new FsBlockstore(blockstore)
  const light = createHeliaLight({ blockstore: blocks, datastore: new MemoryDatastore() })
  const helia = await withBitswap(withLibp2pLight(light, {
    privateKey: await identity(seed, privateKey),
    addresses: { listen },
    transports: [tcp(), webSockets(), circuitRelayTransport(), webRTCDirect({ rtcConfiguration: { iceServers: [] } })],
    connectionProtector: swarmKey == null ? undefined : preSharedKey({ psk: Buffer.from(swarmKey) }),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { pingInterval: 2 * patienceMs, pingTimeout: { minTimeout: patienceMs } },
    peerDiscovery: [
      ...(discovery == null ? [] : [pubsubPeerDiscovery({ topics: [discovery], interval: 1000 })]),
      ...(local ? [mdns({ interval: 1000 })] : [])
    ],
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, directPeers: directPeers.map(named) }),
      ...(options.relay ? { relay: circuitRelayServer() } : {}),
      ...(dht ? { dht: kadDHT({ clientMode: false, peerInfoMapper: passthroughMapper }) } : {})
    }
  })).start()
  // libp2p leaves it to the application to dial whom it found
  if (local) helia.libp2p.addEventListener('peer:discovery', ({ detail }) => helia.libp2p.dial(detail.id).catch(() => {}))
  return { helia, blocks }
}

/** A peer and where it is. */
function named (address) {
  const [where, id] = address.split('/p2p/')
  return { id: peerIdFromString(id), addrs: [multiaddr(where)] }
}

async function identity (seed, privateKey) {
  if (privateKey != null) return privateKeyFromProtobuf(Buffer.from(privateKey, 'hex'))
  if (seed != null) return generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex'))
  return generateKeyPair('Ed25519')
}
