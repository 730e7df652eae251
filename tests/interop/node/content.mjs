/**
 * Files in and out of a Helia peer, each with its sha256, so that a test compares content and not trust.
 *
 * Made-up content is a keystream: the same (size, seed) gives the same bytes and so the same CID, on any machine;
 * no two blocks of it are alike, so nothing is deduplicated behind a test's back.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { unixfs } from '@helia/unixfs'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const MIB = 1024 * 1024

function * keystream (size, seed) {
  const key = createHash('sha256').update(String(seed)).digest()
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(MIB)
  for (let left = size; left > 0; left -= MIB) {
    yield cipher.update(left < MIB ? zeros.subarray(0, left) : zeros)
  }
}

function source ({ size, seed = 0, text, base64 }) {
  if (text != null) return [new TextEncoder().encode(text)]
  if (base64 != null) return [Buffer.from(base64, 'base64')]
  return keystream(size, seed)
}

/** @returns {{cid: string, bytes: number, blocks: number, dagBytes: number, sha256: string}} dagBytes: of all unique blocks */
export async function addFile (helia, { chunkSize = MIB, rawLeaves = true, cidVersion = 1, ...what }) {
  const hash = createHash('sha256')
  let bytes = 0
  const hashed = function * () {
    for (const chunk of source(what)) {
      hash.update(chunk)
      bytes += chunk.length
      yield chunk
    }
  }
  const fs = unixfs(helia)
  const chunker = fixedSize({ chunkSize })
  const cid = await fs.addByteStream(hashed(), { chunker, rawLeaves, cidVersion, reduceSingleLeafToSelf: true })
  const stat = await fs.stat(cid, { extended: true, offline: true })
  return {
    cid: cid.toString(),
    bytes,
    blocks: Number(stat.uniqueBlocks),
    dagBytes: Number(stat.deduplicatedDagSize),
    sha256: hash.digest('hex')
  }
}

/** A block as it is, under any codec: for the wrong kinds of CID. */
export async function putBlock (helia, { base64, codec }) {
  const block = Buffer.from(base64, 'base64')
  const cid = CID.createV1(codec, await sha256.digest(block))
  await helia.blockstore.put(cid, block)
  return { cid: cid.toString() }
}

/** One block as it is, from wherever it is. */
export async function getBlock (helia, { cid }, signal) {
  const found = await helia.blockstore.get(CID.parse(cid), { signal })
  const parts = found instanceof Uint8Array ? [found] : await Array.fromAsync(found)
  return { base64: Buffer.concat(parts).toString('base64') }
}

/** Reads a file, from wherever its blocks are. `ms` runs from the question to the last byte. */
export async function cat (helia, { cid, offset, length, path }, signal) {
  const hash = createHash('sha256')
  let bytes = 0
  const started = performance.now()
  for await (const chunk of unixfs(helia).cat(CID.parse(cid), { offset, length, path, signal })) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex'), ms: performance.now() - started }
}

/** Deletes every block this peer holds, so that the next read must come from somebody else. */
export async function forgetAll (blocks) {
  const cids = []
  for await (const { cid } of blocks.getAll()) cids.push(cid)
  for (const cid of cids) await blocks.delete(cid)
  return { blocks: cids.length }
}
