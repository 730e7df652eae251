/**
 * The files that are to be kept, in IndexedDB until the worker has them: a reload in the middle of the fetch goes on by
 * itself, for the page adds them again and gets the same blocks. Where that fails the user chooses them again.
 */
const DATABASE = 'pinning-worker'
const STORE = 'files'
const MOST_BYTES = 256 * 1_048_576

/** @param {Array} entries [{path, file}] as in choose.js */
export async function putAway (cid, entries) {
  if (entries.reduce((sum, { file }) => sum + file.size, 0) > MOST_BYTES) return
  await inStore('readwrite', (store) => store.put(entries, cid))
}

/** The entries; undefined if they are gone. */
export const filesOf = (cid) => inStore('readonly', (store) => store.get(cid))

export const throwAway = (cid) => inStore('readwrite', (store) => store.delete(cid))

/** What a request of `act` results in; undefined where the browser has no such storage, or no room in it. */
async function inStore (mode, act) {
  let database
  try {
    const opening = indexedDB.open(DATABASE, 1)
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE)
    database = await done(opening)
    return await done(act(database.transaction(STORE, mode).objectStore(STORE)))
  } catch {
    return undefined
  } finally {
    database?.close()
  }
}

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result)
  request.onerror = () => reject(request.error)
})
