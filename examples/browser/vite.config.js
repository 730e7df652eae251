/** Nothing but paths: the page is plain JavaScript. `base` is relative, so that the build works under any address. */
export default {
  base: './',
  build: { target: 'es2022', chunkSizeWarningLimit: 2000 }
}
