-- For wrk: sends the requests of a file one after the other, round and round. Last, one line for scripts:
--   wrk REQUESTS MICROSECONDS BAD P50_US P99_US
-- BAD counts answers above 399, answers that did not come, and connections that failed.
local requests, at = {}, 0

function init(args)
  local file = assert(io.open(args[1], 'rb'))
  local text = file:read('*a')
  file:close()
  for one in text:gmatch('.-\r\n\r\n') do requests[#requests + 1] = one end
  assert(#requests > 0, 'no requests')
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('wrk %d %d %d %d %d\n', summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
