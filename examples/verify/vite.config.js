/** Builds one HTML file: scripts and styles stand inside it, so that it works from a disk, without a host. */
const oneFile = () => ({
  name: 'one-file',
  enforce: 'post',
  generateBundle (_, bundle) {
    const page = bundle['index.html']
    for (const [name, part] of Object.entries(bundle)) {
      if (part === page) continue
      const text = part.type === 'chunk'
        ? `<script type="module">\n${part.code.replaceAll('</script', '<\\/script')}</script>\n</body>`
        : `<style>\n${part.source}</style>\n</head>`
      const place = part.type === 'chunk' ? '</body>' : '</head>'
      page.source = page.source
        .replace(new RegExp(`<(script|link)[^>]*"[^"]*${name}"[^>]*>(</script>)?\\s*`), '')
        .replace(place, () => text)
      delete bundle[name]
    }
  }
})

export default { base: './', plugins: [oneFile()], build: { target: 'es2022', modulePreload: false, assetsInlineLimit: 0 } }
