// A workspace that answers byte by byte as it is told, good or bad HTTP.
import { once } from 'node:events';
import net from 'node:net';

/* scripts: by path, a function (socket, head) that writes what it likes. Returns { port, url, heads, close() }; heads are the requests' heads. */
export async function startUpstream(scripts) {
  const sockets = new Set();
  const heads = [];
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let data = '';
    socket.on('data', (chunk) => {
      data += chunk.toString('latin1');
      for (let end = data.indexOf('\r\n\r\n'); end >= 0; end = data.indexOf('\r\n\r\n')) {
        const head = data.slice(0, end + 4);
        data = data.slice(end + 4);
        heads.push(head);
        const [path] = (head.split(' ')[1] ?? '').split('?');
        const script = scripts[path] ?? (() => socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'));
        script(socket, head);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    heads,
    close: () => new Promise((resolve) => {
      server.close(resolve);
      sockets.forEach((socket) => socket.destroy());
    }),
  };
}
