# Programs, virtual disks, disc images and results for promises.ps1, which loads this file.

$Folder = Join-Path $env:PUBLIC "unmoor-promises-$PID"
$User = 'unmoor-promises'
$Text = [Text.Encoding]::GetEncoding(28591)
$script:Password = $null
$script:Images = @()
$script:Holders = @()
$script:Counts = @{ pass = 0; FAIL = 0; skip = 0 }

# --- Programs ---------------------------------------------------------------------------------------------------

function Start-Program([string] $File, [string[]] $Words, [string] $Directory, [switch] $AsUser) {
    $quoted = $Words | ForEach-Object {
        if ($_ -match '[\s"]') { '"' + ($_ -replace '"', '\"') + '"' } else { $_ }
    }
    $start = New-Object Diagnostics.ProcessStartInfo $File, ($quoted -join ' ')
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = $Text
    $start.StandardErrorEncoding = $Text
    $start.WorkingDirectory = $Directory
    if ($AsUser) {
        $start.UserName = $User
        $start.Domain = $env:COMPUTERNAME
        $start.Password = $script:Password
    }
    [Diagnostics.Process]::Start($start)
}

function Start-Unmoor {
    param([string[]] $Words, [string] $From = $Folder, [string] $File = "$Folder\unmoor.exe", [switch] $AsUser)
    Start-Program $File $Words $From -AsUser:$AsUser
}

# Waits for the program, and throws unless its exit code is one of $Code.
function Wait-Unmoor($Process, [int[]] $Code, [int] $Seconds = 60) {
    $output = $Process.StandardOutput.ReadToEndAsync()
    $errors = $Process.StandardError.ReadToEndAsync()
    if (-not $Process.WaitForExit($Seconds * 1000)) {
        $Process.Kill()
        throw "did not end within $Seconds s"
    }
    $said = $output.Result + $errors.Result
    if ($Code -notcontains $Process.ExitCode) {
        throw "exit code $($Process.ExitCode), not $($Code -join ' or '): $said"
    }
    New-Object PSObject -Property @{ Output = $output.Result; Said = $said }
}

function Invoke-Unmoor([int[]] $Code, [string[]] $Words, [switch] $AsUser) {
    Wait-Unmoor (Start-Unmoor $Words -AsUser:$AsUser) $Code
}

# Returns the JSON document.
function Invoke-UnmoorJson([int[]] $Code, [string[]] $Words) {
    (Invoke-Unmoor $Code ($Words + '--json')).Output | ConvertFrom-Json
}

# Starts hold.exe and waits until it holds everything.
function Start-Holder([string[]] $Words) {
    $process = Start-Program "$Folder\hold.exe" $Words $Folder
    $script:Holders += $process
    $line = $process.StandardOutput.ReadLine()
    if ($line -notlike 'ready*') { throw "hold.exe $Words`: $($process.StandardError.ReadToEnd())" }
    $process
}

# Ends a holder and returns what it said at the end.
function Stop-Holder($Process) {
    $Process.StandardInput.Close()
    $said = $Process.StandardError.ReadToEnd()
    if (-not $Process.WaitForExit(10000)) { throw 'hold.exe did not end' }
    $said
}

# --- Drives -----------------------------------------------------------------------------------------------------

function Invoke-DiskPart([string[]] $Lines) {
    $file = Join-Path $Folder 'diskpart.txt'
    Set-Content -Path $file -Value $Lines -Encoding ASCII
    $said = & diskpart.exe /s $file
    if ($LASTEXITCODE -ne 0) { throw "diskpart: $($said -join ' ')" }
}

function Get-FreeLetters {
    $used = [IO.DriveInfo]::GetDrives() | ForEach-Object { $_.Name.Substring(0, 1) }
    [char[]] (71..90) | ForEach-Object { [string] $_ } | Where-Object { $used -notcontains $_ }
}

# Makes and attaches a virtual disk. $Volumes: one file system for each volume; 'ntfs-' gets no letter.
function New-Disk([string[]] $Volumes, [string] $Label = 'STICK', [string] $Extension = 'vhd') {
    $file = Join-Path $Folder "disk$($script:Images.Count).$Extension"
    $script:Images = @($file) + $script:Images
    $free = @(Get-FreeLetters)
    $lines = @("create vdisk file=`"$file`" maximum=300 type=expandable")
    $lines += "select vdisk file=`"$file`"", 'attach vdisk'
    $letters = @()
    for ($at = 0; $at -lt $Volumes.Count; $at++) {
        $size = if ($at -lt $Volumes.Count - 1) { ' size=120' } else { '' }
        $lines += "create partition primary$size", "format fs=$($Volumes[$at].TrimEnd('-')) label=$Label quick"
        if ($Volumes[$at].EndsWith('-')) { $lines += 'remove noerr' }
        else { $letters += "$($free[$at]):"; $lines += "assign letter=$($free[$at])" }
    }
    Invoke-DiskPart $lines
    $number = (Get-DiskImage -ImagePath $file).Number
    foreach ($letter in $letters) { Set-Content -Path "$letter\letter.txt" -Value 'dear reader' }
    $letter = if ($letters.Count) { $letters[0] } else { $null }
    New-Object PSObject -Property @{
        File = $file; Number = $number; Name = "PhysicalDrive$number"; Letter = $letter; Letters = $letters
    }
}

Add-Type -TypeDefinition @'
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Runtime.InteropServices.ComTypes;
public static class ComStream {
    public static void Save(object source, string path) {
        IStream stream = (IStream)source; byte[] buffer = new byte[2048]; IntPtr count = Marshal.AllocHGlobal(4);
        try {
            using (FileStream file = File.Create(path)) {
                for (;;) {
                    stream.Read(buffer, buffer.Length, count);
                    int read = Marshal.ReadInt32(count);
                    if (read == 0) return;
                    file.Write(buffer, 0, read);
                }
            }
        } finally { Marshal.FreeHGlobal(count); }
    }
}
'@

# Makes a disc image (ISO 9660) and attaches it.
function New-Disc([string] $In = $Folder) {
    $file = Join-Path $In 'disc.iso'
    $script:Images = @($file) + $script:Images
    $content = Join-Path $Folder 'content'
    New-Item -ItemType Directory -Force -Path $content | Out-Null
    Set-Content -Path (Join-Path $content 'letter.txt') -Value 'dear reader'
    $image = New-Object -ComObject IMAPI2FS.MsftFileSystemImage
    $image.FileSystemsToCreate = 1
    $image.VolumeName = 'DISC'
    $image.Root.AddTree($content, $false)
    [ComStream]::Save($image.CreateResultImage().ImageStream, $file)
    $attached = Mount-DiskImage -ImagePath $file -PassThru
    $letter = "$(($attached | Get-Volume).DriveLetter):"
    $device = (Get-DiskImage -ImagePath $file).DevicePath -replace '^\\\\\.\\', ''
    New-Object PSObject -Property @{ File = $file; Letter = $letter; Name = $device }
}

function Test-Attached($Image) { (Get-DiskImage -ImagePath $Image.File).Attached }

function Remove-Fixtures {
    foreach ($process in $script:Holders) {
        if (-not $process.HasExited) { $process.Kill(); $process.WaitForExit() }
    }
    foreach ($file in $script:Images) {
        Dismount-DiskImage -ImagePath $file -ErrorAction SilentlyContinue | Out-Null
        Remove-Item -Path $file -Force -ErrorAction SilentlyContinue
    }
    $script:Holders = @()
    $script:Images = @()
}

# --- Results ----------------------------------------------------------------------------------------------------

function Assert-That([bool] $Holds, [string] $What) { if (-not $Holds) { throw "not so: $What" } }
function Assert-Says($Result, [string] $What) {
    Assert-That ($Result.Said.Contains($What)) "says '$What', but '$($Result.Said)'"
}
function Assert-NeverSays($Result, [string] $What) {
    Assert-That (-not $Result.Said.Contains($What)) "never says '$What', but '$($Result.Said)'"
}
function Assert-Mounted($Letter) { Assert-That (Test-Path "$Letter\letter.txt") "$Letter is mounted" }

function Write-Result([string] $Word, [string] $Id, [string] $Why) {
    $script:Counts[$Word]++
    Write-Output ("{0}  {1}{2}" -f $Word, $Id, $(if ($Why) { ": $Why" } else { '' }))
}

function Test-Promise([string] $Id, [scriptblock] $Block) {
    if ($Id -notlike $Filter) { return }
    try { & $Block | Out-Null; Write-Result 'pass' $Id }
    catch { Write-Result 'FAIL' $Id ($_.Exception.Message -replace '\s+', ' ') }
    finally { Remove-Fixtures }
}

function Skip-Promise([string] $Why, [string[]] $Ids) {
    foreach ($id in $Ids) { if ($id -like $Filter) { Write-Result 'skip' $id $Why } }
}
