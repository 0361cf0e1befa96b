/** What the console says of errors. */

/** Errors in plain words, by code. */
export const WORDS = {
  bad_request: "The gateway did not understand the request.",
  too_large: "The request is too long for this gateway.",
  unknown_function: "There is no such function here.",
  unavailable: "No server can do this at the moment.",
  overloaded: "The server is too busy at the moment.",
  shutting_down: "The server is about to stop.",
  invalid_args: "These arguments are not what the function takes.",
  handler_failed: "The task has failed.",
  handler_panicked: "The task has failed because of a mistake in its plugin.",
  worker_crashed: "The process that did the task has died.",
  timeout: "The task took too long and was ended.",
  cancelled: "The task was cancelled.",
  result_too_large: "The task is done, but its result is too long to be sent.",
  internal: "Something is wrong with the server.",
  connection_lost: "The connection was lost for too long; the task may be done all the same.",
  key_conflict: "Another task has this key.",
  storage_unavailable: "The server can't write tasks down at the moment.",
  unknown_task: "There is no such task, or not any more.",
  unauthorized: "The gateway needs another token.",
  forbidden: "This page may not connect to the gateway.",
  protocol_error: "The gateway did not understand this page.",
  taken_over: "Another tab has taken over this session.",
  closed: "The connection was closed.",
};
