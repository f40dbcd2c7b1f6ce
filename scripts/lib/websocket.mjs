// As much of the WebSocket protocol (RFC 6455) as the sample workspace needs: accept, text and binary messages, ping, close.
import { createHash } from 'node:crypto';

const MESSAGE_MAX = 16 * 1024 * 1024;
const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

function frame(opcode, payload) {
  const length = payload.length;
  const head = length < 126 ? Buffer.from([0x80 | opcode, length]) : Buffer.alloc(length < 65536 ? 4 : 10);
  if (length >= 126) {
    head[0] = 0x80 | opcode;
    head[1] = length < 65536 ? 126 : 127;
    if (length < 65536) head.writeUInt16BE(length, 2);
    else head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

// One frame from the front of a buffer, or undefined if it is not all there.
function parseFrame(data) {
  if (data.length < 2) return undefined;
  let length = data[1] & 0x7f;
  let offset = 2;
  if (length === 126) {
    if (data.length < 4) return undefined;
    length = data.readUInt16BE(2);
    offset = 4;
  } else if (length === 127) {
    if (data.length < 10) return undefined;
    length = Number(data.readBigUInt64BE(2));
    offset = 10;
  }
  if (length > MESSAGE_MAX) throw new Error('message too large');
  const isMasked = (data[1] & 0x80) !== 0;
  const mask = data.subarray(offset, offset + 4);
  if (isMasked) offset += 4;
  if (data.length < offset + length) return undefined;
  const payload = Buffer.from(data.subarray(offset, offset + length));
  if (isMasked) for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3];
  return { isFinal: (data[0] & 0x80) !== 0, opcode: data[0] & 0x0f, payload, size: offset + length };
}

/* Answers an upgrade request with 101. Returns { send(text or buffer), onMessage, onClose, close() }. */
export function acceptWebSocket(req, socket, early) {
  const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.setNoDelay(true);

  const ws = {
    onMessage: () => {},
    onClose: () => {},
    send: (message) => socket.write(frame(typeof message === 'string' ? OPCODE.text : OPCODE.binary, Buffer.from(message))),
    close: (code = 1000) => {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      socket.end(frame(OPCODE.close, payload));
    },
  };
  let data = Buffer.alloc(0);
  let message = [];
  let messageOpcode = 0;

  const take = ({ isFinal, opcode, payload }) => {
    if (opcode === OPCODE.ping) return socket.write(frame(OPCODE.pong, payload));
    if (opcode === OPCODE.close) return socket.end(frame(OPCODE.close, payload));
    if (opcode === OPCODE.pong) return undefined;
    if (opcode !== OPCODE.continuation) messageOpcode = opcode;
    message.push(payload);
    if (!isFinal) return undefined;
    const whole = Buffer.concat(message);
    message = [];
    return ws.onMessage(messageOpcode === OPCODE.text ? whole.toString() : whole);
  };
  const feed = (chunk) => {
    data = Buffer.concat([data, chunk]);
    try {
      for (let next = parseFrame(data); next; next = parseFrame(data)) {
        data = data.subarray(next.size);
        take(next);
      }
    } catch {
      ws.close(1009);
    }
  };
  socket.on('data', feed);
  socket.on('error', () => socket.destroy());
  socket.once('close', () => ws.onClose());
  if (early.length > 0) feed(early);
  return ws;
}
