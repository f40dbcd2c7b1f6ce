// Bytes on a socket, for requests that no client library would send.
import net from 'node:net';

/* Sends the bytes, in pieces if it is a list, and gives back what came until the other side closed or was quiet for a while. */
export function sendRaw(port, bytes, { quietMs = 500, timeoutMs = 10000, pauseMs = 20, half = false } = {}) {
  const pieces = Array.isArray(bytes) ? bytes : [bytes];
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    const chunks = [];
    let quiet;
    const finish = () => {
      clearTimeout(limit);
      clearTimeout(quiet);
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    const limit = setTimeout(finish, timeoutMs);
    socket.once('connect', async () => {
      for (const piece of pieces) {
        socket.write(piece, 'latin1');
        if (pieces.length > 1) await new Promise((next) => setTimeout(next, pauseMs));
      }
      if (half) socket.end();
    });
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      clearTimeout(quiet);
      quiet = setTimeout(finish, quietMs);
    });
    socket.once('close', finish);
    socket.once('error', (error) => (chunks.length > 0 || error.code === 'ECONNRESET' || error.code === 'EPIPE' ? finish() : reject(error)));
  });
}

/* The status codes of the answers in a raw reply, in order. */
export function statusesOf(reply) {
  return [...reply.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => Number(status));
}
