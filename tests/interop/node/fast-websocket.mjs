/**
 * Preload (`node --import`) for benches: the `ws` client instead of Node's own, which masks frames in JavaScript
 * and crawls at 8 MB/s whoever receives. Must be in place before libp2p loads. Its price: the first dial of a
 * process can fail with "could not negotiate /noise" (the listener's first frame comes before libp2p listens): dial again.
 */
import WebSocket from 'ws'

globalThis.WebSocket = WebSocket
