-- Sends the bodies of a file (one per line) in turn and prints one line of JSON when it is done.
-- Usage: wrk -s load.lua URL -- BODIES text|hex [HEADER VALUE]...     (hex: two digits a byte)
-- Latencies are microseconds; `bad_status` counts answers above 399, the others count failed sockets.

local requests, turn = {}, 0

local function bytes(digits)
  return (digits:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

function init(arguments)
  wrk.method = "POST"
  for place = 3, #arguments, 2 do
    wrk.headers[arguments[place]] = arguments[place + 1]
  end
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, arguments[2] == "hex" and bytes(line) or line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"mean_us":%.1f,"max_us":%d,'
      .. '"bad_status":%d,"connect":%d,"read":%d,"write":%d,"timed_out":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.mean, latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
