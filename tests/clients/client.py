import json, socket, sys

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
lines = connection.makefile("rw", encoding="utf-8", newline="\n")


def send(text):
    lines.write(text + "\n")
    lines.flush()


def call(**request):
    send(json.dumps(request))
    return json.loads(lines.readline())


result = call(function="echo", args={"text": "Grüße 😀"})["result"]
print("echo:", json.dumps(result, ensure_ascii=False, separators=(",", ":")))

error = call(function="ecko")["error"]
print(f"{error['code']}: {error['message']}")

reply = call(id="p", function="progress", args={"steps": 3}, progress=True)
while "event" in reply:
    event, reply = reply, json.loads(lines.readline())
print(f"progress: {event['done']} of {event['total']}")

for id in range(1000):
    lines.write(json.dumps({"id": id, "function": "echo", "args": id}) + "\n")
lines.flush()
replies = [json.loads(lines.readline()) for _ in range(1000)]
assert all(reply["result"] == reply["id"] for reply in replies)
print(f"{len(replies)} replies, {len({reply['id'] for reply in replies})} different ids")

send("{half a line")
print("invalid line:", json.loads(lines.readline())["error"]["code"])
