<?php
// A task server in the manner of Workerman's recipe for asynchronous tasks: processes that accept on one port, each of
// which waits for all of its connections at once; a request is a line of JSON, and so is its reply. It is written for the
// benchmarks and has nothing of Workerman in it.
//
//     php worker.php PROCESSES

const CHUNK_LEN = 65536;

$functions = ['echo' => fn($args) => $args];

$listener = stream_socket_server('tcp://127.0.0.1:0', $errno, $error, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN,
    stream_context_create(['socket' => ['backlog' => 1024, 'tcp_nodelay' => true]]));
if (!$listener) {
    fwrite(STDERR, "$error\n");
    exit(1);
}
stream_set_blocking($listener, false);

// The processes end with their parent: then they read the end of this.
[$parent, $ours] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
for ($process = 0; $process < (int) $argv[1]; $process++) {
    if (pcntl_fork() === 0) {
        fclose($ours);
        serve($listener, $parent, $functions);
    }
}
echo 'listening on ', stream_socket_get_name($listener, false), "\n";
while (pcntl_wait($status) > 0) {
}

function serve($listener, $parent, array $functions): never
{
    $clients = [];  // Sockets by their number.
    $lines = [];    // What each has sent of a line that isn't whole.
    $out = [];      // What there was no room for.
    while (true) {
        $readable = $clients;
        $readable[] = $listener;
        $readable[] = $parent;
        $writable = array_intersect_key($clients, $out);
        $none = null;
        if (!stream_select($readable, $writable, $none, null)) {
            continue;
        }
        foreach ($readable as $socket) {
            if ($socket === $parent) {
                exit(0);
            }
            if ($socket === $listener) {
                if ($client = @stream_socket_accept($listener, 0)) {
                    stream_set_blocking($client, false);
                    stream_set_read_buffer($client, 0);
                    $clients[(int) $client] = $client;
                    $lines[(int) $client] = '';
                }
                continue;
            }
            $number = (int) $socket;
            $chunk = @fread($socket, CHUNK_LEN);
            if ($chunk === '' || $chunk === false) {
                if ($chunk === false || feof($socket)) {
                    fclose($socket);
                    unset($clients[$number], $lines[$number], $out[$number]);
                }
                continue;
            }
            $lines[$number] .= $chunk;
            if (!str_contains($chunk, "\n")) {
                continue;
            }
            $whole = explode("\n", $lines[$number]);
            $lines[$number] = array_pop($whole);
            foreach ($whole as $line) {
                $reply = answer($line, $functions) . "\n";
                // As Workerman does: each reply is sent at once, unless others wait.
                if (!isset($out[$number])) {
                    $sent = (int) @fwrite($socket, $reply);
                    if ($sent < strlen($reply)) {
                        $out[$number] = substr($reply, $sent);
                    }
                } else {
                    $out[$number] .= $reply;
                }
            }
        }
        foreach ($writable as $number => $socket) {
            if (isset($out[$number])) {
                $sent = (int) @fwrite($socket, $out[$number]);
                if ($sent < strlen($out[$number])) {
                    $out[$number] = substr($out[$number], $sent);
                } else {
                    unset($out[$number]);
                }
            }
        }
    }
}

function answer(string $line, array $functions): string
{
    $request = json_decode($line, true);
    $reply = isset($request['id']) ? ['id' => $request['id']] : [];
    $function = $functions[$request['function']];
    return json_encode($reply + ['ok' => true, 'result' => $function($request['args'])]);
}
