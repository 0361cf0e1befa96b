const socket = require('node:net').connect(Number(process.argv[2]), '127.0.0.1');
const lines = [], readers = [];
let rest = '';

socket.setEncoding('utf8').on('data', (chunk) => {
  const parts = (rest + chunk).split('\n');
  rest = parts.pop();
  for (const line of parts) (readers.shift() ?? ((l) => lines.push(l)))(line);
});

const read = async () => JSON.parse(lines.shift() ?? (await new Promise((resolve) => readers.push(resolve))));
const send = (request) => socket.write(JSON.stringify(request) + '\n');

(async () => {
  send({ function: 'echo', args: { text: 'Grüße 😀' } });
  console.log('echo:', JSON.stringify((await read()).result));

  send({ function: 'ecko' });
  const { error } = await read();
  console.log(`${error.code}: ${error.message}`);

  send({ id: 'p', function: 'progress', args: { steps: 3 }, progress: true });
  let event, reply;
  while ((reply = await read()).event) event = reply;
  console.log(`progress: ${event.done} of ${event.total}`);

  for (let id = 0; id < 1000; id++) send({ id, function: 'echo', args: id });
  const ids = new Set();
  for (let count = 0; count < 1000; count++) {
    const { id, result } = await read();
    if (id !== result) throw new Error(`${id} got ${result}`);
    ids.add(id);
  }
  console.log(`1000 replies, ${ids.size} different ids`);

  socket.write('{half a line\n');
  console.log('invalid line:', (await read()).error.code);
  socket.end();
})();
