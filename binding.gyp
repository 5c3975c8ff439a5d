# Lets node-gyp (`node-gyp rebuild`, `npm rebuild`) drive the CMake build: one action, which compiles nothing itself.
{
  "targets": [
    {
      "target_name": "addon",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_build",
          "inputs": [],
          "outputs": ["<(PRODUCT_DIR)/sightloop.node.always"],
          "action": ["node", "<(module_root_dir)/cmake/build.mjs", "--force"],
          "message": "Building the addon with CMake"
        }
      ]
    }
  ]
}
