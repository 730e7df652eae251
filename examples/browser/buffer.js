/** Node's Buffer for @ngraveio/bc-ur, which was written for Node. */
import { Buffer } from 'buffer/'

globalThis.Buffer ??= Buffer
globalThis.process ??= { env: {} }
