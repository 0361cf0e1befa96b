// Messages a second of nodemailer with its pool. Arguments: PORT COUNT CONNECTIONS TEXT_LEN.
const nodemailer = require("nodemailer");

const [port, count, connections, textLen] = process.argv.slice(2).map(Number);
const line = "The quick brown fox jumps over the lazy dog, and nobody minds.\n";
const text = line.repeat(Math.ceil(textLen / line.length)).slice(0, textLen);
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port,
  ignoreTLS: true,
  pool: true,
  maxConnections: connections,
  maxMessages: Infinity,
});

const message = (index) => ({
  from: "sender@example.com",
  to: `user${index}@example.com`,
  subject: `Message for User ${index}`,
  text: `Hello User ${index},\n${text}`,
});

const start = process.hrtime.bigint();
Promise.all(Array.from({ length: count }, (_, index) => transport.sendMail(message(index)))).then(() => {
  console.log(Math.round(count / (Number(process.hrtime.bigint() - start) / 1e9)));
  transport.close();
});
