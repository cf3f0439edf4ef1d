-- Runs each time that Redis starts (redis-server.service.d/framaspace.conf): removes the shared locks of all spaces.
-- docs/decisions/0019-machines-that-vanish.md says why, and why exclusive ones stay.
local removed = 0
for number in redis.call('INFO', 'keyspace'):gmatch('db(%d+):') do
  redis.call('SELECT', number)
  local cursor = '0'
  repeat
    -- Nextcloud's names: <prefix>/lockfiles/<MD5 of the path>.
    local page = redis.call('SCAN', cursor, 'MATCH', '*/lockfiles/*', 'COUNT', 1000, 'TYPE', 'string')
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      -- A shared lock is the number of those who hold it, an exclusive one is a word.
      if tonumber(redis.call('GET', key)) then removed = removed + redis.call('UNLINK', key) end
    end
  until cursor == '0'
end
return 'shared locks removed: ' .. removed
