/**
 * One real Helia peer as a process, driven by JSON lines. `tests/interop/helia.py` holds the other end.
 *
 *   stdin    {"id": 1, "do": "dial", "addr": "/ip4/127.0.0.1/tcp/4001/p2p/12D3…"}
 *   stdout   {"id": 1, "ok": {…}}  or  {"id": 1, "error": "what went wrong"}
 *            {"event": "message", "topic": …, "from": …, "text": …, "ms": …}   whenever it happens
 *
 * The first command is `start`; the process ends at `stop` or when stdin closes, so no peer outlives its driver.
 *
 * The peer is built from its parts (parts.mjs): no gateways, no delegated routers, no bootstrap, and no
 * DHT unless `dht` asks for one. It knows only whom it was told to dial, so nothing leaves the machine and a block can
 * come from nobody else.
 */
import { createInterface } from 'node:readline'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import * as content from './content.mjs'
import { startPeer } from './parts.mjs'

let helia, blocks
const pubsub = () => helia.libp2p.services.pubsub
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const HANG_UP_MS = 3_000
const within = ({ deadlineMs = 30_000 }) => AbortSignal.timeout(deadlineMs)

const commands = {
  async start (options) {
    ({ helia, blocks } = await startPeer(options))
    pubsub().addEventListener('message', ({ detail }) => say({
      event: 'message',
      topic: detail.topic,
      from: detail.from?.toString() ?? '',
      text: new TextDecoder().decode(detail.data),
      ms: Date.now()
    }))
    const { peerId } = helia.libp2p
    return { peerId: peerId.toString(), addrs: helia.libp2p.getMultiaddrs().map(String) }
  },

  // --- who is there
  async dial (options) {
    const connection = await helia.libp2p.dial(multiaddr(options.addr), { signal: within(options) })
    return { peerId: connection.remotePeer.toString(), addr: connection.remoteAddr.toString() }
  },
  async hangup (options) {
    const peer = peerIdFromString(options.peerId)
    try {
      await helia.libp2p.hangUp(peer, { signal: AbortSignal.timeout(HANG_UP_MS) })
    } catch (error) { // libp2p waits for ever for a stream that its writer resets while it is being closed
      for (const connection of helia.libp2p.getConnections(peer)) connection.abort(error)
    }
  },
  async addresses () {
    return helia.libp2p.getMultiaddrs().map(String)
  },
  async peers () {
    return helia.libp2p.getConnections().map((connection) => ({
      peerId: connection.remotePeer.toString(),
      addr: connection.remoteAddr.toString(),
      limited: connection.limits != null
    }))
  },

  // --- gossip
  async subscribe ({ topic }) {
    pubsub().subscribe(topic)
  },
  /** A message published before the mesh stands reaches nobody: wait for a mesh peer, not for a subscriber. */
  async waitMesh ({ topic, peerId, ...options }) {
    const stands = () => pubsub().getMeshPeers(topic).filter((id) => peerId == null || id === peerId)
    const signal = within(options)
    while (stands().length === 0) {
      await new Promise((resolve, reject) => {
        pubsub().addEventListener('gossipsub:graft', resolve, { once: true, signal })
        signal.addEventListener('abort', () => reject(new Error(`no mesh peer on ${topic} in time`)), { once: true })
      })
    }
    return { peers: stands() }
  },
  async publish ({ topic, text, base64 }) {
    const data = base64 == null ? new TextEncoder().encode(text) : Buffer.from(base64, 'base64')
    const { recipients } = await pubsub().publish(topic, data)
    return { recipients: recipients.map(String) }
  },

  // --- a protocol of the test's own
  /** So many bytes on a new stream, each run of 64 KiB of its number, as fast as the library lets us; then its end. */
  async send ({ peerId, protocol, size, ...options }) {
    const signal = within(options)
    const stream = await helia.libp2p.dialProtocol(peerIdFromString(peerId), protocol, { signal })
    for (let sent = 0; sent < size; sent += 65_536) {
      if (!stream.send(new Uint8Array(Math.min(65_536, size - sent)).fill(sent / 65_536))) await stream.onDrain({ signal })
    }
    await stream.close({ signal })
  },

  // --- the DHT
  async provide ({ cid, ...options }) {
    await helia.libp2p.contentRouting.provide(CID.parse(cid), { signal: within(options) })
  },
  /** The first provider of a CID and its addresses. */
  async findProvider ({ cid, ...options }) {
    for await (const { id, multiaddrs } of helia.libp2p.contentRouting.findProviders(CID.parse(cid), { signal: within(options) })) {
      return { peerId: id.toString(), addrs: multiaddrs.map(String) }
    }
    throw new Error(`nobody provides ${cid}`)
  },

  // --- content
  addFile: async (options) => content.addFile(helia, options),
  addMetadata: async ({ fields }) => content.addFile(helia, { text: JSON.stringify(fields) }),
  putBlock: async (options) => content.putBlock(helia, options),
  getBlock: async (options) => content.getBlock(helia, options, within(options)),
  has: async ({ cid }) => ({ has: await blocks.has(CID.parse(cid)) }),
  cat: async (options) => content.cat(helia, options, within(options)),
  forget: async () => content.forgetAll(blocks),

  async stop () {
    await helia?.stop()
    setImmediate(() => process.exit(0))
  }
}

async function answer (line) {
  const { id, do: name, ...options } = JSON.parse(line)
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no such command: ${name}`)
    say({ id, ok: await commands[name](options) ?? {} })
  } catch (error) {
    say({ id, error: [error, ...(error.errors ?? [])].map((e) => `${e.name}: ${e.message}`).join('; ') })
  }
}

createInterface({ input: process.stdin })
  .on('line', answer)
  .on('close', () => process.exit(0))
