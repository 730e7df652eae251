/**
 * Many real Helia peers in one process, for benches. `tests/bench/crowd.py` holds the other end.
 *
 *   argument   {"peers": 50, "addr": "/ip4/…/p2p/…", "peerId": "12D3…", "topic": "…", "files": 20, "size": 1000}
 *   stdout     {"addrs": […], "cids": […]}       once all are there: in the mesh, with `files` files each
 *   stdin      go                                each peer asks for its files, the next as soon as one has its price
 *   stdout     {"ms": […], "others": {…}}        from each NEW-CID to its ADDING-CID; other answers by their status
 *
 * The process ends when stdin closes.
 */
import { createInterface } from 'node:readline'
import { multiaddr } from '@multiformats/multiaddr'
import * as content from './content.mjs'
import { startPeer } from './parts.mjs'

const { peers, addr, peerId, topic, files, size } = JSON.parse(process.argv[2])
const DEADLINE_MS = 120_000
const AT_ONCE = 10 // handshakes
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const others = {}

async function comes (number) {
  const { helia } = await startPeer({ listen: ['/ip4/127.0.0.1/tcp/0'] })
  const pubsub = helia.libp2p.services.pubsub
  const waiting = new Map()
  pubsub.addEventListener('message', ({ detail }) => hears(detail, waiting))
  await helia.libp2p.dial(multiaddr(addr), { signal: AbortSignal.timeout(DEADLINE_MS) })
  pubsub.subscribe(topic)
  const there = () => files > 0 // who only listens may be pruned out of a mesh
    ? pubsub.getMeshPeers(topic).includes(peerId)
    : pubsub.getSubscribers(topic).some((each) => each.toString() === peerId)
  while (!there()) await new Promise((resolve) => setTimeout(resolve, 100))
  const cids = []
  for (let file = 0; file < files; file++) {
    cids.push((await content.addFile(helia, { size, seed: `${peerId}/${number}/${file}` })).cid)
  }
  return { helia, pubsub, waiting, cids }
}

function hears ({ from, data }, waiting) {
  if (from?.toString() !== peerId) return
  let said
  try { said = JSON.parse(new TextDecoder().decode(data)) } catch { return }
  const resolve = waiting.get(said.cid)
  if (resolve == null) return
  if (said.status === 'ADDING-CID') return resolve()
  const what = said.code ?? said.status
  others[what] = (others[what] ?? 0) + 1
}

async function asks ({ pubsub, waiting, cids }) {
  const took = []
  for (const cid of cids) {
    const began = performance.now()
    await new Promise((resolve, reject) => {
      waiting.set(cid, resolve)
      setTimeout(() => reject(new Error(`no price for ${cid}`)), DEADLINE_MS).unref()
      pubsub.publish(topic, new TextEncoder().encode(`NEW-CID:${cid}`))
    })
    waiting.delete(cid)
    took.push(performance.now() - began)
  }
  return took
}

const crowd = []
while (crowd.length < peers) {
  const next = Array.from({ length: Math.min(AT_ONCE, peers - crowd.length) }, (_, each) => comes(crowd.length + each))
  crowd.push(...await Promise.all(next))
}
say({
  addrs: crowd.map(({ helia }) => helia.libp2p.getMultiaddrs()[0].toString()),
  cids: crowd.flatMap(({ cids }) => cids)
})
createInterface({ input: process.stdin })
  .on('line', async () => say({ ms: (await Promise.all(crowd.map(asks))).flat(), others }))
  .on('close', () => process.exit(0))
