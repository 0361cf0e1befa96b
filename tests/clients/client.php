<?php
$server = stream_socket_client("tcp://127.0.0.1:$argv[1]", $errno, $message, 60) or exit($message);

function send($server, array $request): void {
    fwrite($server, json_encode($request, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE) . "\n");
}

function read($server): object {
    return json_decode(fgets($server), flags: JSON_THROW_ON_ERROR);
}

send($server, ['function' => 'echo', 'args' => ['text' => 'Grüße 😀']]);
echo 'echo: ', json_encode(read($server)->result, JSON_UNESCAPED_UNICODE), "\n";

send($server, ['function' => 'ecko', 'args' => []]);
$error = read($server)->error;
echo "$error->code: $error->message\n";

send($server, ['id' => 'p', 'function' => 'progress', 'args' => ['steps' => 3], 'progress' => true]);
while (isset(($reply = read($server))->event)) {
    $event = $reply;
}
echo "progress: $event->done of $event->total\n";

for ($id = 0; $id < 1000; $id++) {
    send($server, ['id' => $id, 'function' => 'echo', 'args' => $id]);
}
$ids = [];
for ($count = 0; $count < 1000; $count++) {
    $reply = read($server);
    $reply->id === $reply->result or exit("$reply->id got $reply->result");
    $ids[$reply->id] = true;
}
echo '1000 replies, ', count($ids), " different ids\n";

fwrite($server, "{half a line\n");
echo 'invalid line: ', read($server)->error->code, "\n";
