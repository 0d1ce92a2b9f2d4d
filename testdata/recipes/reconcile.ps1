# PowerShell, on Windows or elsewhere. The tests do not run this one.
$ErrorActionPreference = 'Stop'

# One program, alone with the token in its environment:
tokenfetch exec zeepay -- pwsh -File ./job.ps1
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }

# Or the token in this session, as $env:ZEEPAY_ACCESS_TOKEN:
tokenfetch zeepay -o powershell | Out-String | Invoke-Expression
./job.ps1
