/** Puts what was chosen into the page's own node, from which the worker fetches it. */
import { unixfs } from '@helia/unixfs'

/**
 * A picture gets a metadata.json that names it: one quote covers both, and the metadata's CID is what is asked for. A
 * folder becomes a UnixFS directory, and its own CID is. The same files and words give the same CID.
 *
 * @returns {{cid: string, size: number}} size: bytes of all blocks, which is what the worker will have to fetch
 */
export async function add (helia, { kind, entries, title, description = '' }) {
  const fs = unixfs(helia)
  if (kind === 'folder') {
    const files = entries.map(({ path, file }) => ({ path, content: chunks(file) }))
    let root
    for await (const added of fs.addAll(files, { wrapWithDirectory: true })) root = added.cid // the last is the directory
    return { cid: String(root), size: await bytesOf(fs, root) }
  }
  const image = await fs.addByteStream(chunks(entries[0].file))
  const metadata = { name: title, description, image: `ipfs://${image}` }
  const cid = await fs.addBytes(new TextEncoder().encode(JSON.stringify(metadata)))
  return { cid: String(cid), size: await bytesOf(fs, cid) + await bytesOf(fs, image) }
}

/** Of unique blocks, as the worker counts them. */
const bytesOf = async (fs, cid) => Number((await fs.stat(cid, { extended: true })).deduplicatedDagSize)

/** A file's content; not every browser can iterate over its stream. */
async function * chunks (file) {
  const reader = file.stream().getReader()
  try {
    for (let read; !(read = await reader.read()).done;) yield read.value
  } catch (cause) {
    throw new Error(`${file.name} cannot be read, or was changed since: choose it again`, { cause })
  }
}
